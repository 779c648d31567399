//! [`Warning`]: something that was accepted, or that happened, and that the user should know of.

use serde::{Deserialize, Serialize};

use super::{Code, codes};

codes! {
    /// What a warning is about. A layer's [`Reason`](crate::spec::Reason) or a [`FaultCode`](super::FaultCode) may be a
    /// warning's code too.
    pub enum WarningCode {
        /// The result says that the runtime rounds activations as it runs; nothing is computed of them here.
        ActivationsDeclared("activations_declared", "Nothing, or take `activations` out if the section is meant for TAO Quant too, whose torchao backend ignores it.");
        /// A rule asks for activations to be quantized, and the backend quantizes weights only.
        ActivationsIgnored("activations_ignored", "Take `activations` out of the rule, give it `dynamic: true`, or choose a backend for static PTQ.");
        /// The request names no backend, or neither backend nor mode.
        BackendDefaulted("backend_defaulted", "Write the backend, and the mode, into the request.");
        /// The model runs with a smaller batch than was asked for, so that it fits the memory.
        BatchLowered("batch_lowered", "Nothing, or give the worker more memory with `--engine-memory-mib`.");
        /// There is no calibration data; activations are calibrated with random values, so accuracy says nothing.
        CalibrationRandom("calibration_random", "Give representative samples as `calibration.uri` for a model to be used.");
        /// An earlier job calibrated the same model with the same data, and its statistics were used.
        CalibrationReused("calibration_reused", "Nothing: the result is the same as that of a calibration anew.");
        /// Constants beyond the range of f16 became its largest number.
        ClippedToHalf("clipped_to_half", "Compare the accuracy, or leave `high_precision_dtype` at fp32.");
        /// The result is compared with the model after preparation, since the original does not run as it is.
        ComparedWithPrepared("compared_with_prepared", "Nothing: the note says what was prepared.");
        /// A folder of tensors has no config.json, where runtimes look for the quantization's description.
        ConfigMissing("config_missing", "Give the whole folder of the model, config.json included.");
        /// The runtime does not run the result with its default graph optimizations.
        DefaultOptimizationFails("default_optimization_fails", "Run it with the optimization level that the note names.");
        /// Weights of convolutions alone are quantized, and CPU runtimes decode these at every run: the file is smaller, and slower.
        DequantizedAtEachRun("dequantized_at_each_run", "Leave these layers native by `skip_names`, or quantize their inputs too: backend `modelopt`, placement `onnxruntime`.");
        /// The accuracy was measured on the samples that calibrated the model, so it may be too good.
        EvaluatedOnCalibrationData("evaluated_on_calibration_data", "Give samples of their own as `evaluation.uri`.");
        /// The accuracy was measured on samples that calibration left out.
        EvaluatedOnHeldOut("evaluated_on_held_out", "Nothing, or give samples of their own as `evaluation.uri`.");
        /// A field was read as another one that means the same.
        FieldAliased("field_aliased", "Write the field's own name, which the note tells.");
        /// A field is still read, and will not be for ever.
        FieldDeprecated("field_deprecated", "Write what the note says instead.");
        /// A field, or one of its values, has no effect here.
        FieldIgnored("field_ignored", "Take the field out, or see in the note what to set instead.");
        /// What is outside the Q/DQ pairs stays f32, and the runtime computes each operator in the type that the graph gives it.
        Float32OutsidePairs("float32_outside_pairs", "Set `high_precision_dtype` to fp16, or to fp32 if that is meant.");
        /// The runtime's fused kernels give other values than the model says.
        FusedKernelsInexact("fused_kernels_inexact", "Follow the note: `reduce_range`, or a lower optimization level.");
        /// An earlier calibration does not tell whether f16 holds the values of the graph's tensors.
        HalfNotChecked("half_not_checked", "Calibrate anew: give the data in place of the record.");
        /// Nodes stay in f32, since calibration saw them give or read values near the end of f16's range.
        KeptInFloat32("kept_in_float32", "Nothing: their results are as those of the original.");
        /// The study of layers one by one was left out, since the engine does not run the model with its changes.
        LayersNotCompared("layers_not_compared", "Nothing: the quantized model itself is not touched by it.");
        /// Codes and scales stand beside each other under plain names, which inference servers do not know.
        LayoutPlain("layout_plain", "Choose a `layout` that your runtime loads, if the scheme fits one.");
        /// No mode was given, and the backend has only one.
        ModeDefaulted("mode_defaulted", "Write the mode into the request.");
        /// Layers compute in floats although their inputs and weights are in codes: the runtime has no way to fuse them.
        NotFused("not_fused", "Leave these layers native, by `skip_names`: they are slower than in the original.");
        /// OpenVINO computes otherwise what the result says, so that more is lost in it than in onnxruntime.
        OpenvinoDiffers("openvino_differs", "Look at what it gives for your data; leave layers native until it is right, or run the result in onnxruntime.");
        /// OpenVINO, whose library was given, does not run the original or the result, so how long they take in it is not known.
        OpenvinoNotMeasured("openvino_not_measured", "See in the note what OpenVINO says; the result itself is not touched by it.");
        /// The model was carried to a later opset, which the result needs.
        OpsetUpgraded("opset_upgraded", "Nothing, or export the model with that opset.");
        /// Int4 weights with zero points are stored in a way that not every loader of the layout reads.
        PackedZeroPoints("packed_zero_points", "Serve it with vLLM, or choose int4 without zero points.");
        /// The plan of a model with very many layers, or very long names, is too large to be kept.
        PlanNotKept("plan_not_kept", "Read what became of each layer in the report.");
        /// The first samples are all the same.
        SamplesIdentical("samples_identical", "Give samples that differ as those of production do.");
        /// The model's batch is fixed, and the last samples do not fill one.
        SamplesLeftOut("samples_left_out", "Nothing, or give a number of samples that the model's batch divides.");
        /// An array holds whole numbers from 0 to 255, as images have before they are normalized.
        SamplesNotNormalized("samples_not_normalized", "Preprocess the samples as the model expects its inputs.");
        /// The result takes longer for a sample than the original does, on the CPU of the machine that quantized it.
        SlowerThanOriginal("slower_than_original", "Choose the `placement` of your runtime, quantize activations too, or leave operators that cut chains native.");
        /// Weights are stored behind a DequantizeLinear although another form was asked for, which has no place for them.
        StoredAsQdq("stored_as_qdq", "Nothing, or see in the note what the form takes.");
        /// A name pattern matches no layer of the model.
        UnmatchedPattern("unmatched_pattern", "Compare the pattern with the layers' names in the plan.");
        /// Values beside the tensors of a state dict were not carried into the result.
        ValuesNotCarried("values_not_carried", "Nothing, unless a program needs them: then add them to the result.");
        /// There are more warnings than are told.
        WarningsLeftOut("warnings_left_out", "Mend what the first warnings are about: those left out are mostly of the same kind.");
        /// Files that hold the unquantized weights in another form were not copied.
        WeightsNotCopied("weights_not_copied", "Nothing: the result would be larger, and could be loaded wrongly.");
    }
}

/// Something accepted that the user should know of: a field aliased, ignored or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// JSON pointer to the value, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What kind of thing.
    pub code: Code,
    /// The sentence for a person.
    pub message: String,
}

impl Warning {
    /// A warning about a value of the request. A message is cut where it is longer than anybody reads.
    pub fn at(pointer: impl Into<String>, code: impl Into<Code>, message: impl Into<String>) -> Self {
        Warning { pointer: Some(pointer.into()), ..Self::new(code, message) }
    }

    /// A warning about something that happened while working.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        /// Bytes.
        const MOST: usize = 4000;
        let mut message = message.into();
        if message.len() > MOST {
            message.truncate(message.floor_char_boundary(MOST));
            message.push('…');
        }
        Warning { pointer: None, code: code.into(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let warning = Warning::at("/mode", WarningCode::ModeDefaulted, "é".repeat(3000));
        assert_eq!(warning.message, format!("{}…", "é".repeat(2000)));
    }

    #[test]
    fn a_warning_that_an_older_version_stored_is_read_and_written_as_it_was() {
        let stored = r#"{"code":"of_long_ago","message":"something was so"}"#;
        let warning: Warning = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&warning).unwrap(), stored);
        let known = Warning::at("/mode", WarningCode::ModeDefaulted, "no mode was given");
        assert_eq!(
            serde_json::to_string(&known).unwrap(),
            r#"{"pointer":"/mode","code":"mode_defaulted","message":"no mode was given"}"#
        );
    }
}
