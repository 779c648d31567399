//! Old models carried to the latest version of the operators that anything here needs, judged by running both.

use ptqd::model::onnx::{Model, ModelWriter, upgrade};
use serde_json::json;

use crate::support::python;

#[test]
fn every_operator_that_changed_computes_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let made = python("old_graphs.py", &[std::path::Path::new("make"), folder.path()]);
    let mut carried = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut model = Model::read(&path).unwrap();
        let changed = upgrade(&mut model, 21).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(model.opset(), 21);
        assert!(changed.iter().all(|(name, _)| name == "n"));
        ModelWriter::create(&path.with_extension("new.onnx"), &model, &[], false).unwrap().finish().unwrap();
        carried += 1;
    }
    assert_eq!(json!(carried), made["cases"]);
    let differences = python("old_graphs.py", &[std::path::Path::new("compare"), folder.path()]);
    for (name, difference) in differences.as_object().unwrap() {
        assert!(difference.as_f64().unwrap() <= 1e-6, "{name}: {difference}");
    }
}
