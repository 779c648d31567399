//! `calibration.json`: what calibration saw, so that a later job can choose other ranges without running the model again.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{Range, Statistics};
use crate::fault::json_words;

/// What calibration saw of each tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this form; 1.
    pub version: u32,
    /// Whether the data was random numbers, asked for in place of data.
    pub random: bool,
    /// The input of the model whose zeros said what is padding and was not looked at; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_input: Option<String>,
    /// Samples that calibration ran the model on.
    pub samples: u64,
    /// The tensors watched, by name in the graph.
    pub tensors: BTreeMap<String, Statistics>,
    /// The ranges of tensors in the f32 graph, by name there, if the graph was carried to f16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub float32: BTreeMap<String, Range>,
}

/// The version that is written and read.
pub const VERSION: u32 = 1;

/// Why a file is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is not what ptqd writes.
    #[error("it is not a calibration.json of ptqd: {reason}")]
    Form {
        /// What the parser says.
        reason: String,
    },
    /// It has the ranges alone.
    #[error("it has no histograms, which algorithm `{algorithm}` needs: it is of a job whose algorithm needed none")]
    NoHistograms {
        /// The algorithm that is asked for.
        algorithm: &'static str,
    },
    /// It is of another version.
    #[error("it has version {found}, this ptqd reads {VERSION}")]
    Version {
        /// The version that the file gives.
        found: u32,
    },
}

impl Record {
    /// Reads a file that begins like JSON; `None` if it does not.
    pub fn read(path: &Path) -> Result<Option<Self>, RecordError> {
        // A hundred kilobytes a tensor at most; more than this is no record of a model that fits a machine.
        const LARGEST: u64 = 1 << 30;
        if path.is_dir() {
            return Ok(None);
        }
        let mut file = BufReader::new(File::open(path)?.take(LARGEST));
        let mut first = [0];
        if file.read(&mut first)? == 0 || first != *b"{" {
            return Ok(None);
        }
        let whole = first.chain(file);
        let record: Record =
            serde_json::from_reader(whole).map_err(|e| RecordError::Form { reason: json_words(&e) })?;
        if record.version == VERSION { Ok(Some(record)) } else { Err(RecordError::Version { found: record.version }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calibration::Keep, quant::MinMax};

    /// As ptqd wrote it before it kept signs and masks.
    const OLD: &str = r#"{"version":1,"random":false,"samples":2,"tensors":{"x":{"min":-1.5,"max":4.0,"count":3,
        "not_finite":0,"histogram":{"exponent":3,"counts":[0,1,1,1]}}}}"#;

    #[test]
    fn a_record_without_signs_and_masks_is_read_and_its_magnitudes_cut_both_ends() {
        let record: Record = serde_json::from_str(OLD).unwrap();
        assert_eq!(record.mask_input, None);
        let statistics = &record.tensors["x"];
        assert_eq!(statistics.sides(), None);
        assert_eq!(statistics.fraction_outside(MinMax { min: -1.5, max: 4.0 }), Some(0.0));
    }

    #[test]
    fn one_without_either_is_written_as_it_was() {
        let tensors = [("x".to_owned(), Statistics::new(Keep::Magnitudes))].into();
        let record =
            Record { version: VERSION, random: false, mask_input: None, samples: 2, tensors, float32: BTreeMap::new() };
        let json = serde_json::to_string(&record).unwrap();
        assert!(!json.contains("mask_input") && !json.contains("negative"), "{json}");
    }
}
