//! Weight-only PTQ of checkpoints, judged by the safetensors package.

use std::{collections::BTreeMap, fs, path::Path};

use ptqd::{
    model::{
        checkpoint::Checkpoint,
        safetensors::{OutTensor, ShardWriter, open},
    },
    tensor::Shape,
};
use serde_json::{Value, json};

use crate::support::{Server, fixture, python, uri};

fn job(model: &Path, dtype: &str) -> Value {
    json!({"model": {"uri": uri(model)}, "quantize": {"backend": "torchao", "mode": "weight_only_ptq",
        "layers": [{"module_name": "Linear", "weights": {"dtype": dtype}},
                   {"module_name": "Conv2d", "weights": {"dtype": dtype}}], "allow_unmatched": true}})
}

/// Quantizes and compares with what the reports states; the finished job.
fn check(server: &Server, model: &Path, dtype: &str, layers: usize) -> Value {
    let out = server.folder.path().join(format!("{}-{dtype}", model.file_name().unwrap().display()));
    let finished = server.client.run(&job(model, dtype), &out);
    let verdict = python("check_checkpoint.py", &[model, &out, &out.join("report.json")]);
    let tensors = verdict["tensors"].as_array().unwrap();
    assert_eq!((tensors.len(), &verdict["others_untouched"]), (layers, &json!(true)));
    for row in tensors {
        let figure = |key: &str| row[key].as_f64().unwrap();
        assert!((figure("sqnr_db") - figure("stated_sqnr_db")).abs() < 1e-3, "{row}");
        // The report multiplies in f32, numpy in f64.
        assert!((figure("max_abs_error") / figure("stated_max_abs_error") - 1.0).abs() < 1e-3, "{row}");
    }
    finished
}

#[test]
fn checkpoints_reload_and_decode_to_within_the_stated_error() {
    let server = Server::start();
    for (model, layers) in [("vit", 14), ("convnet", 7), ("mobilenet", 11)] {
        for dtype in ["int8", "fp8_e4m3fn"] {
            let finished = check(&server, &fixture(&format!("{model}.safetensors")), dtype, layers);
            let summary = &finished["result"]["summary"];
            let least = if model == "mobilenet" { 2.0 } else { 3.0 };
            assert!(summary["compression"].as_f64().unwrap() >= least, "{model} {dtype}: {summary:#}");
        }
    }
}

/// The vit checkpoint as two shards with an index, beside a side file.
fn shards(folder: &Path) {
    let whole = open(&fixture("vit.safetensors")).unwrap();
    let shard = &whole.shards[0];
    let mut weight_map = BTreeMap::new();
    for (n, tensors) in shard.tensors.chunks(shard.tensors.len().div_ceil(2)).enumerate() {
        let name = format!("model-{:05}-of-00002.safetensors", n + 1);
        let out = tensors
            .iter()
            .map(|t| OutTensor { name: t.name.clone(), dtype: "F32".into(), bits: 32, shape: t.shape.clone() })
            .collect();
        let writer = ShardWriter::create(&folder.join(&name), out, &BTreeMap::new()).unwrap();
        for tensor in tensors {
            writer.write(&tensor.name, 0, &shard.bytes(tensor)).unwrap();
            weight_map.insert(tensor.name.clone(), name.clone());
        }
        writer.finish().unwrap();
    }
    let index = json!({"metadata": {}, "weight_map": weight_map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
}

#[test]
fn shards_give_what_the_whole_gives() {
    let server = Server::start();
    let folder = server.folder.path().join("shards");
    fs::create_dir(&folder).unwrap();
    shards(&folder);
    let finished = check(&server, &folder, "int8", 14);
    let names: Vec<&str> =
        finished["result"]["artifacts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "plan.json",
            "report.json",
            "manifest.json"
        ]
    );
    let out = server.folder.path().join("shards-int8");
    let index: Value = serde_json::from_slice(&fs::read(out.join(names[2])).unwrap()).unwrap();
    let quantized = open(&out).unwrap();
    for (shard, tensor) in quantized.tensors() {
        assert_eq!(index["weight_map"][&tensor.name], shard.file_name);
    }
    // The same codes and scales as from one file, tensor by tensor.
    check(&server, &fixture("vit.safetensors"), "int8", 14);
    let single = open(&server.folder.path().join("vit.safetensors-int8/model.safetensors")).unwrap();
    let bytes = |checkpoint: &Checkpoint| -> BTreeMap<String, Vec<u8>> {
        checkpoint.tensors().map(|(shard, t)| (t.name.clone(), shard.bytes(t).to_vec())).collect()
    };
    assert_eq!(bytes(&quantized), bytes(&single));
}

#[test]
fn a_bad_weight_is_named_and_nothing_is_left_as_if_finished() {
    let server = Server::start();
    let path = server.folder.path().join("bad.safetensors");
    let shape = Shape::new(vec![2, 3]).unwrap();
    let tensor = OutTensor { name: "fc.weight".into(), dtype: "F32".into(), bits: 32, shape };
    let writer = ShardWriter::create(&path, vec![tensor], &BTreeMap::new()).unwrap();
    let values = [1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0];
    writer.write("fc.weight", 0, &values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let failed = server.client.wait(&server.client.submit(&job(&path, "int8")));
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("weight_not_finite")));
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("fc.weight") && message.contains("row 1, column 1"), "{message}");
    let scratch = server.folder.path().join("data/scratch");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
    assert_eq!(
        server.client.json(&format!("/v1/jobs/{}/artifacts", failed["id"].as_str().unwrap()))["artifacts"],
        json!([])
    );
}
