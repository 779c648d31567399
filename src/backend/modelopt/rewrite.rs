//! Writing the quantized model.

use std::{collections::BTreeMap, path::Path};

use super::{Candidate, Opened};
use crate::{
    backend::BackendError,
    calibration::Range,
    control::{Control, Phase},
    model::onnx::{Constant, GraphIndex, QdqWriter, QuantizedWeight, constant},
    numeric::{DType, FloatFormat},
    quant::{Granularity, QuantError, ScaleRule, Scheme, quantize, scale_for},
    report::{ActivationReport, LayerReport, WeightReport},
    spec::{Decision, Reason},
};

/// The name of the quantized model.
pub(super) const FILE: &str = "model.onnx";

/// What came of the rewrite.
pub(super) struct Rewritten {
    /// The serialized model, as it was written.
    pub(super) bytes: Vec<u8>,
    /// What was done to each layer that could be quantized.
    pub(super) layers: Vec<LayerReport>,
}

/// Writes the model with the plan carried out. A layer without a usable range stays native, with the reason.
pub(super) fn rewrite(
    opened: &Opened,
    ranges: Option<&BTreeMap<String, Range>>,
    out: &Path,
    control: &Control<'_>,
) -> Result<Rewritten, BackendError> {
    let source = opened.model.graph();
    let index = GraphIndex::new(source)?;
    let mut model = opened.model.clone();
    let mut writer = QdqWriter::new(model.graph_mut())?;
    let mut layers = opened.planned();
    let total = layers.iter().filter(|(_, layer)| layer.decision == Decision::Quantize).count();
    let meter = control.phase(Phase::Quantizing, total as u64, "layers");
    for (i, layer) in &mut layers {
        let plan = &opened.resolved.plan.layers[*i];
        let (Decision::Quantize, Some(candidate), Some(dtype)) = (plan.decision, &opened.candidates[*i], plan.weights)
        else {
            continue;
        };
        let activation = plan.activations.map(|dtype| activation(candidate, dtype, ranges, opened.calibrator.name));
        let activation = match activation.transpose() {
            Ok(activation) => activation,
            Err(reason) => {
                let message = format!("layer `{}` stays native: {}", plan.name, explain(reason, candidate));
                control.warn(&reason.name(), message);
                (layer.decision, layer.reason) = (Decision::Native, reason);
                meter.advance(1)?;
                continue;
            }
        };
        let tensor = &source.node[candidate.node].input[candidate.weight_input];
        let Some(weight) = constant(source, &index, tensor)? else { continue };
        if let Some((scale, report)) = activation {
            writer.quantize_activation(candidate.node, 0, scale, report.dtype);
            layer.activations = Some(report);
        }
        let (quantized, report) =
            quantize_weight(&weight, candidate.axis, opened.weight_scheme(dtype, candidate.axis))?;
        writer.quantize_weight(candidate.node, candidate.weight_input, &quantized);
        layer.weights = Some(report);
        meter.advance(1)?;
    }
    writer.finish();
    let bytes = model.write(&out.join(FILE))?;
    Ok(Rewritten { bytes, layers: layers.into_iter().map(|(_, layer)| layer).collect() })
}

impl Opened {
    /// How weights of `dtype` are quantized along `axis`.
    fn weight_scheme(&self, dtype: DType, axis: usize) -> Scheme {
        let scheme = Scheme::onnx(dtype, Granularity::PerChannel { axis });
        match dtype {
            DType::Int8 if self.reduce_range => Scheme { rule: ScaleRule::AmaxOver63, ..scheme },
            _ => scheme,
        }
    }
}

/// The scale of a layer's input, or why it has none.
fn activation(
    candidate: &Candidate,
    dtype: DType,
    ranges: Option<&BTreeMap<String, Range>>,
    algorithm: &str,
) -> Result<(f32, ActivationReport), Reason> {
    let range = ranges.and_then(|ranges| ranges.get(&candidate.activation)).ok_or(Reason::NoCalibration)?;
    if range.not_finite > 0 {
        return Err(Reason::NotFinite);
    }
    if range.amax == 0.0 {
        return Err(Reason::AmaxZero);
    }
    let scheme = Scheme::onnx(dtype, Granularity::PerTensor);
    let report = ActivationReport {
        tensor: candidate.activation.clone(),
        dtype,
        algorithm: algorithm.to_owned(),
        amax_observed: f64::from(range.amax_observed()),
        amax_chosen: f64::from(range.amax),
        scale_rule: scheme.rule.name(dtype),
        clipped_fraction: (range.amax >= range.amax_observed()).then_some(0.0),
    };
    Ok((scale_for(range.amax, &scheme, FloatFormat::F32), report))
}

fn explain(reason: Reason, candidate: &Candidate) -> String {
    let tensor = &candidate.activation;
    match reason {
        Reason::NotFinite => format!("its input `{tensor}` was NaN or infinite for some calibration data"),
        Reason::AmaxZero => format!("its input `{tensor}` was 0 for all calibration data"),
        _ => format!("calibration saw no value of its input `{tensor}`"),
    }
}

fn quantize_weight(
    weight: &Constant<'_>,
    axis: usize,
    scheme: Scheme,
) -> Result<(QuantizedWeight, WeightReport), BackendError> {
    let tensor = weight.source.clone();
    let lengths = |source| BackendError::Weight { tensor: tensor.clone(), source };
    let view = weight
        .view()
        .ok_or_else(|| QuantError::Lengths { bytes: 0, cells: 0, touched: weight.shape.elements() })
        .map_err(lengths)?;
    let values = quantize(view, &scheme).map_err(lengths)?;
    let before = view.bytes().len() as u64;
    let after = (values.codes.len() + 5 * values.params.len()) as u64;
    let report = WeightReport::new(&weight.source, &scheme, &values.error, (before, after));
    let name = weight.source.clone();
    Ok((QuantizedWeight { name, shape: weight.shape.clone(), axis: Some(axis), dtype: scheme.dtype, values }, report))
}
