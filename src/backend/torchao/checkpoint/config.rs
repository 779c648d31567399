//! [`ModelConfig`]: the model's config.json, which says to loaders how the weights are quantized.

use std::fs;

use serde_json::Value;

use crate::{backend::BackendError, fault::json_words, model::checkpoint::Checkpoint};

/// The name of the file.
pub(super) const CONFIG: &str = "config.json";
const QUANTIZATION: &str = "quantization_config";

/// A config.json that says nothing of quantization.
#[derive(Clone, Debug)]
pub(super) struct ModelConfig(serde_json::Map<String, Value>);

impl ModelConfig {
    /// That of a checkpoint, if there is one. A model that is quantized already is refused: its codes would be taken for
    /// weights.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Option<Self>, BackendError> {
        if !checkpoint.side_files.iter().any(|name| name == CONFIG) {
            return Ok(None);
        }
        let path = checkpoint.folder.join(CONFIG);
        let invalid = |reason: String| BackendError::Config { path: path.clone(), reason };
        let text = fs::read(&path).map_err(|e| invalid(e.to_string()))?;
        let Value::Object(config) = serde_json::from_slice(&text).map_err(|e| invalid(json_words(&e)))? else {
            return Err(invalid("it is not an object".to_owned()));
        };
        if config.get(QUANTIZATION).is_some_and(|value| !value.is_null()) {
            return Err(BackendError::AlreadyQuantized { path });
        }
        Ok(Some(ModelConfig(config)))
    }

    /// The family of the model, e.g. `llama`.
    pub(super) fn model_type(&self) -> Option<&str> {
        self.0.get("model_type")?.as_str()
    }

    /// The same config with a description of how the weights are quantized.
    pub(super) fn described(&self, description: Value) -> Value {
        let mut config = self.0.clone();
        config.insert(QUANTIZATION.to_owned(), description);
        Value::Object(config)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Option<ModelConfig>, BackendError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), text).unwrap();
        let side_files = vec![CONFIG.to_owned()];
        ModelConfig::read(&Checkpoint { folder: folder.path().to_owned(), shards: Vec::new(), side_files })
    }

    #[test]
    fn a_model_that_is_quantized_already_is_refused() {
        let error = read(r#"{"quantization_config": {"quant_method": "gptq"}}"#).unwrap_err();
        assert!(matches!(error, BackendError::AlreadyQuantized { .. }), "{error:?}");
        assert!(read(r#"{"quantization_config": null}"#).unwrap().is_some());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "{", "7"] {
            assert!(matches!(read(text), Err(BackendError::Config { .. })), "{text}");
        }
    }

    #[test]
    fn a_description_is_added_behind_what_is_there() {
        let config = read(r#"{"model_type": "llama", "b": 1}"#).unwrap().unwrap();
        assert_eq!(config.model_type(), Some("llama"));
        let described = config.described(json!({"quant_method": "torchao"}));
        assert_eq!(
            described.to_string(),
            r#"{"model_type":"llama","b":1,"quantization_config":{"quant_method":"torchao"}}"#
        );
    }
}
