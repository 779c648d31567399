//! The engine where several jobs of one process use it at once.

use std::thread;

use ptqd::{
    calibration::{Keep, Statistics},
    control::Canceller,
    engine::{EngineConfig, Session, Slots, warm_up, with_observers},
    model::onnx::{Model, ModelWriter},
    numeric::FloatFormat,
};

use crate::support::{fixture, needed};

/// Jobs that begin at the same moment each register the operators; the engine itself cannot take that.
#[test]
fn sessions_with_observers_load_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::read(&fixture("convnet.onnx")).unwrap();
    let watched = [(&"input".to_owned(), FloatFormat::F32)];
    let path = folder.path().join("observed.onnx");
    let observing = with_observers(&model, &watched, None);
    ModelWriter::create(&path, &observing, &[], false).unwrap().finish().unwrap();
    let config = EngineConfig {
        library: needed("ORT_DYLIB_PATH").into(),
        openvino: None,
        threads: 1,
        memory: None,
        canceller: Canceller::default(),
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let slots = Slots::new([Statistics::new(Keep::Range)]);
                    Session::load_observed(&path, &slots, &config).unwrap();
                }
            });
        }
    });
}

#[test]
fn the_smallest_model_is_one_that_the_engine_takes() {
    let config = EngineConfig {
        library: needed("ORT_DYLIB_PATH").into(),
        openvino: None,
        threads: 2,
        memory: None,
        canceller: Canceller::default(),
    };
    warm_up(&config).unwrap();
    warm_up(&config).unwrap();
}
