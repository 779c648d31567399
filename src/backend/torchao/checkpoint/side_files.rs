//! Side files of a checkpoint: the configuration that describes the layout, and what is copied as it is.

use std::{fs, path::Path};

use serde_json::Value;

use super::{config::CONFIG, opened::OpenedCheckpoint};
use crate::{
    backend::{BackendError, layouts::Entry},
    control::Control,
    fault::{WarningCode, few},
    files::copy,
    model::safetensors::is_other_weights,
};

/// What side files are made from.
pub(super) struct SideFiles<'a> {
    pub(super) opened: &'a OpenedCheckpoint,
    pub(super) entries: &'a [Entry<'a>],
    pub(super) out: &'a Path,
    pub(super) control: &'a Control<'a>,
}

impl SideFiles<'_> {
    /// Writes them, and warns of what loaders and users will miss. Their names.
    pub(super) fn write(&self) -> Result<Vec<String>, BackendError> {
        let mut files: Vec<String> = self.describe()?.into_iter().collect();
        files.extend(self.copy(files.is_empty())?);
        for (code, note) in self.opened.layout.form.notes(self.entries) {
            self.control.warn(code, note);
        }
        Ok(files)
    }

    /// Writes the configuration with a description of the layout. Its name, if it was written.
    fn describe(&self) -> Result<Option<String>, BackendError> {
        let layout = self.opened.layout;
        match (layout.form.config(self.entries), &self.opened.config) {
            (Some(description), Some(config)) => {
                write_json(self.out, CONFIG, &config.described(description))?;
                return Ok(Some(CONFIG.to_owned()));
            }
            (Some(_), None) => {
                let message = format!("there is no config.json to describe the layout `{}` in", layout.name);
                self.control.warn(WarningCode::ConfigMissing, message);
            }
            (None, Some(_)) => self.control.warn(
                WarningCode::LayoutPlain,
                "codes and scales are stored as `weight` and `weight_scale`; config.json is unchanged and does not \
                 describe them, so transformers and vLLM will not load this folder as it is",
            ),
            (None, None) => {}
        }
        Ok(None)
    }

    /// Copies what is no weight in another form. Names.
    fn copy(&self, with_config: bool) -> Result<Vec<String>, BackendError> {
        let checkpoint = &self.opened.checkpoint;
        let (mut copied, mut left_out) = (Vec::new(), Vec::new());
        for name in checkpoint.side_files.iter().filter(|name| with_config || *name != CONFIG) {
            if is_other_weights(name) {
                left_out.push(name.as_str());
                continue;
            }
            let path = self.out.join(name);
            copy(&checkpoint.folder.join(name), &path).map_err(|source| BackendError::Write { path, source })?;
            copied.push(name.clone());
        }
        if !left_out.is_empty() {
            let message = format!("{} hold the unquantized weights in other forms and were not copied", few(&left_out));
            self.control.warn(WarningCode::WeightsNotCopied, message);
        }
        Ok(copied)
    }
}

/// Writes a JSON file as people read it.
pub(super) fn write_json(out: &Path, name: &str, json: &Value) -> Result<(), BackendError> {
    let path = out.join(name);
    fs::write(&path, format!("{json:#}\n")).map_err(|source| BackendError::Write { path, source })
}
