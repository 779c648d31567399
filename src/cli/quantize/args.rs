//! The arguments of `ptqd quantize`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;
use serde_json::Value;

use crate::{
    config::ComputeConfig,
    dataset::Preprocess,
    fault::json_words,
    job::{BATCH_SIZES, CALIBRATION_SAMPLES, DEFAULT_BATCH, read_preprocess},
    spec::{Objection, Reader},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct QuantizeArgs {
    /// The model: a path or a URI (s3, gs, az, https, hf, file) of an ONNX file, a safetensors file, an index of shards, or
    /// a folder.
    #[arg(long, value_name = "PATH|URI")]
    pub(super) model: String,

    /// The rules: YAML or JSON, a `quantize` section or an experiment spec that has one.
    #[arg(long, value_name = "FILE")]
    pub(super) spec: PathBuf,

    /// Calibration data: .npz, .npy or .safetensors with samples on axis 0, a folder of them, a folder of images, or the
    /// calibration.json of an earlier job.
    #[arg(long, value_name = "PATH|URI")]
    pub(super) calibration: Option<String>,

    /// Evaluation data, in the same form.
    #[arg(long, value_name = "PATH|URI")]
    pub(super) evaluation: Option<String>,

    /// How images become samples, as JSON: {"resize": 256, "crop": 224, "scale": 0.00392, "mean": [...], "std": [...],
    /// "layout": "NCHW", "color": "RGB"}.
    #[arg(long, value_name = "JSON", value_parser = preprocess)]
    pub(super) preprocess: Option<Preprocess>,

    /// The name of the array of labels in the evaluation data; `class` where the images of each class have a folder.
    #[arg(long, value_name = "NAME", requires = "evaluation")]
    pub(super) labels: Option<String>,

    /// The most calibration samples to use.
    #[arg(long, value_name = "N", value_parser = |text: &str| whole(text, CALIBRATION_SAMPLES))]
    pub(super) max_samples: Option<u32>,

    /// The input of the model, of [batch, sequence], that is 0 where a sequence is padded: what belongs to padding is left out
    /// of the ranges. `attention_mask` without it under placements onnxruntime and openvino, where there is such an input.
    #[arg(long, value_name = "NAME", requires = "calibration")]
    pub(super) mask_input: Option<String>,

    /// Samples per forward pass, where the model leaves it open.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BATCH, value_parser = |text: &str| whole(text, BATCH_SIZES))]
    pub(super) batch_size: u32,

    /// Only print the plan, as JSON.
    #[arg(long)]
    pub(super) plan_only: bool,

    /// Write the SHA-256 of every file, in and out, to the manifest, as the service does; for a large checkpoint they
    /// take longer than the rest.
    #[arg(long)]
    pub(super) digests: bool,

    /// The model hub of hf:// URIs. A token for it is taken from the variable HF_TOKEN.
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL", default_value = "https://huggingface.co")]
    pub(super) hub_endpoint: String,

    /// The folder for the result; created, and may not hold anything but what an interrupted run of the same command
    /// left, which is resumed.
    #[arg(long, value_name = "DIR", required_unless_present = "plan_only")]
    pub(super) out: Option<PathBuf>,

    #[command(flatten)]
    pub(super) compute: ComputeConfig,
}

/// Reads a whole number of a range that a job has for it.
fn whole(text: &str, range: RangeInclusive<i64>) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    let wrong = || format!("expected a whole number from {} to {}", range.start(), range.end());
    number.and_then(|number| u32::try_from(number).ok()).ok_or_else(wrong)
}

/// Reads the value of `--preprocess`: JSON, as a job's `preprocess` has it. The error is the first thing wrong with it.
fn preprocess(text: &str) -> Result<Preprocess, String> {
    let json: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {}", json_words(&e)))?;
    let mut reader = Reader::default();
    let preprocess = reader.object(&json, "").map(|object| read_preprocess(&mut reader, &object));
    match (reader.objections.first(), preprocess) {
        (None, Some(preprocess)) => Ok(preprocess),
        (first, _) => {
            let text = |o: &Objection| format!("{}: {}", o.pointer.trim_start_matches('/'), o.message);
            Err(first.map(text).unwrap_or_default().trim_start_matches(": ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_the_ranges_of_a_job() {
        assert_eq!(whole("4096", BATCH_SIZES), Ok(4096));
        for wrong in ["0", "4097", "99999999999999999999", "x", "-1", ""] {
            assert_eq!(whole(wrong, BATCH_SIZES), Err("expected a whole number from 1 to 4096".to_owned()));
        }
        assert!(whole("0", CALIBRATION_SAMPLES).is_err());
    }

    #[test]
    fn preprocess_that_is_no_json_is_said_in_plain_words() {
        assert_eq!(preprocess("{").unwrap_err(), "not JSON: it ends too early, at line 1 column 1");
    }
}
