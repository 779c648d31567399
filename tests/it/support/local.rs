//! The pipeline in this process, without a server.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use ptqd::{
    backend::{DataSource, RunInputs},
    control::{Canceller, Control, MemoryBudget},
    engine::EngineConfig,
    pipeline::{self, LocalJob, PipelineError},
    report::QualityGate,
    spec::parse,
};
use serde_json::Value;

use super::needed;

/// A job without data.
pub fn local_job(model: &Path, quantize: &Value) -> LocalJob {
    // Pointers as the command has them, whose plan some tests compare with.
    let parsed = parse(quantize, "");
    assert_eq!(parsed.objections, []);
    LocalJob {
        spec: parsed.spec,
        warnings: parsed.warnings,
        model: model.to_owned(),
        inputs: RunInputs {
            calibration: None,
            evaluation: None,
            engine: EngineConfig {
                library: needed("ORT_DYLIB_PATH").into(),
                openvino: None,
                threads: 2,
                memory: None,
                canceller: Canceller::default(),
            },
            memory: Arc::new(MemoryBudget::default()),
            statistics: None,
            digests: BTreeMap::new(),
        },
        quality_gate: QualityGate::default(),
        digests: false,
        origins: std::collections::BTreeMap::new(),
    }
}

/// All samples of a file or a folder.
pub fn data(path: &Path) -> DataSource {
    DataSource { path: path.to_owned(), max_samples: None, batch_size: 8, preprocess: None, mask_input: None }
}

/// Runs a job; its report.
pub fn run_local(job: &LocalJob, out: &Path) -> Result<Value, PipelineError> {
    fs::create_dir_all(out).expect("a folder");
    pipeline::run(job, out, &Control::new(&|_| {}, &Canceller::default()))?;
    Ok(serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report")).expect("JSON"))
}
