//! PyTorch's files: every tensor as PyTorch saved it, nothing executed, and the same codes as from safetensors.

use std::{collections::BTreeMap, fs, path::Path};

use ptqd::model::{checkpoint::Checkpoint, safetensors, torch};
use serde_json::{Value, json};

use crate::support::{Server, fixture, uri};

fn tensors(checkpoint: &Checkpoint) -> BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let one = |(shard, tensor): (&ptqd::model::checkpoint::Shard, &ptqd::model::checkpoint::TensorInfo)| {
        let kind = (format!("{:?}", tensor.dtype), tensor.shape.dims().to_vec(), shard.bytes(tensor).into_owned());
        (tensor.name.clone(), kind)
    };
    checkpoint.tensors().map(one).collect()
}

#[test]
fn every_tensor_is_read_as_pytorch_saved_it() {
    let (ours, others) = torch::open(&fixture("state_dict.pth")).unwrap();
    let expected = safetensors::open(&fixture("state_dict.safetensors")).unwrap();
    let (ours, expected) = (tensors(&ours), tensors(&expected));
    assert_eq!(ours.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, tensor) in &expected {
        assert!(ours[name] == *tensor, "{name}");
    }
    assert_eq!(others, ["epoch", "history.1", "history.2"]);
}

fn job(model: &Path, rules: &Value) -> Value {
    json!({"model": {"uri": uri(model)}, "quantize": {"layers": rules, "backend_kwargs": {"granularity": "per_row"}}})
}

#[test]
fn a_state_dict_gives_the_codes_that_safetensors_gives_and_tied_weights_once() {
    let server = Server::start();
    let rules = json!([{"module_name": "*", "weights": {"dtype": "int8"}}]);
    let results: Vec<(Value, BTreeMap<_, _>)> = ["state_dict.pth", "state_dict.safetensors"]
        .map(|name| {
            let out = server.folder.path().join(format!("{name}-out"));
            server.client.run(&job(&fixture(name), &rules), &out);
            let report = serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
            (report, tensors(&safetensors::open(&out.join("model.safetensors")).unwrap()))
        })
        .into();
    let [(report, from_torch), (_, from_safetensors)] = &results[..] else { panic!("two results") };
    for (name, tensor) in from_torch {
        assert!(from_safetensors[name] == *tensor, "{name}");
    }
    let missing: Vec<&String> = from_safetensors.keys().filter(|name| !from_torch.contains_key(*name)).collect();
    assert_eq!(missing, ["extra.tied.weight", "extra.tied.weight_scale"]);
    let reason = |name: &str| {
        let layers = report["layers"].as_array().unwrap();
        layers.iter().find(|layer| layer["name"] == name).map(|layer| layer["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(reason("extra.half").as_deref(), Some("rule"));
    assert_eq!(reason("extra.tied").as_deref(), Some("tied"));
    assert!(report["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "values_not_carried"));

    // Rules that treat the two names differently leave both as they are.
    let rules = json!([{"module_name": "*", "weights": {"dtype": "int8"}},
                       {"module_name": "extra.tied", "weights": {"dtype": "native"}}]);
    let out = server.folder.path().join("untied");
    server.client.run(&job(&fixture("state_dict.pth"), &rules), &out);
    let kept = tensors(&safetensors::open(&out.join("model.safetensors")).unwrap());
    assert_eq!(kept["extra.half.weight"].0, "F16");
}

#[test]
fn what_would_run_code_is_refused_and_damage_is_named() {
    let refused = torch::open(&fixture("module.pth")).unwrap_err();
    let text = ptqd::fault::chain(&refused);
    assert!(text.contains("`torch.nn.modules.container.Sequential`"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    let whole = fs::read(fixture("state_dict.pth")).unwrap();
    for length in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(torch::open(&path).is_err(), "{length} bytes");
    }
    // A storage that the archive does not have, and a tensor larger than its storage.
    let at = |text: &[u8]| whole.windows(text.len()).position(|window| window == text).unwrap();
    let mut damaged = whole.clone();
    damaged[at(b"data/0") + 5] = b'z';
    fs::write(&path, &damaged).unwrap();
    let _ = torch::open(&path);
    let mut state = 11u32;
    for _ in 0..2_000 {
        let mut fuzzed = whole.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let position = (state >> 4) as usize % fuzzed.len();
            fuzzed[position] ^= 1 << (state % 8);
        }
        fs::write(&path, &fuzzed).unwrap();
        if let Ok((checkpoint, _)) = torch::open(&path) {
            for (shard, tensor) in checkpoint.tensors() {
                assert!(tensor.bytes() > 1 << 20 || shard.bytes(tensor).len() == tensor.bytes());
            }
        }
    }
}
