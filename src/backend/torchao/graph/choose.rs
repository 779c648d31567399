//! From the plan to a scheme and a form for each constant, and what only shows once these are known.

use std::collections::BTreeMap;

use super::{own_axes::in_own_axes, readers::Readers};
use crate::{
    backend::{
        graph::{
            forms::{Form, Forms, MatMulNBits},
            inventory::Candidate,
        },
        torchao::options::Options,
        weights::WeightScheme,
    },
    fault::{WarningCode, few},
    model::onnx::Graph,
    numeric::DType,
    quant::Grid,
    spec::{QuantizeSpec, Reason, Resolved, Warning},
};

/// What becomes of the constants that are quantized, by name.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) weights: BTreeMap<String, WeightScheme>,
    pub(super) forms: Forms,
}

impl Chosen {
    /// The least version of ONNX's operators that can say all this.
    pub(super) fn needed_opset(&self) -> i64 {
        let needed = self.weights.iter().map(|(name, weight)| {
            let form = self.forms.get(name).copied().unwrap_or_default();
            form.needed_opset(weight)
        });
        needed.max().unwrap_or(0)
    }
}

/// Chooses for each constant that a layer of the plan quantizes. Layers for which there is no scheme, or whose constant
/// others read as it is, are left native in `resolved`, with the reason.
pub(super) fn choose(
    spec: &QuantizeSpec,
    options: &Options,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    resolved: &mut Resolved,
) -> Chosen {
    let mut chosen = Chosen::default();
    let (mut native, mut formed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let readers = Readers::new(graph, candidates);
    for (at, (candidate, plan)) in candidates.iter().zip(&resolved.plan.layers).enumerate() {
        let (Some(candidate), Some(dtype)) = (candidate, plan.weights) else { continue };
        let alike = |other: usize| {
            let dtype_and_axis = |at: usize| {
                let candidate = candidates.get(at).and_then(Option::as_ref)?;
                Some((resolved.plan.layers.get(at)?.weights?, candidate.own_axis()))
            };
            dtype_and_axis(other) == Some((dtype, candidate.own_axis()))
        };
        if readers.others.contains(&candidate.source)
            || !readers.layers.get(&candidate.source).into_iter().flatten().all(|&other| alike(other))
        {
            native.push((at, Reason::TiedToNative));
            continue;
        }
        let form = product_form(options, graph, candidate, dtype);
        if form == Form::DequantizeLinear && options.nbits.is_some() {
            refused.push(format!("`{}`", plan.name));
        }
        match scheme(options, candidate, dtype, form) {
            Ok(weight) => {
                chosen.weights.insert(candidate.source.clone(), weight.encoded_by(options.encoder));
                chosen.forms.extend(form.name().map(|_| (candidate.source.clone(), form)));
                formed.push((at, form));
            }
            Err(reason) => native.push((at, reason)),
        }
    }
    for (at, form) in formed {
        resolved.plan.layers.get_mut(at).into_iter().for_each(|plan| plan.form = form.name());
    }
    if !refused.is_empty() {
        let note = format!(
            "{} are stored behind a DequantizeLinear: MatMulNBits takes the int4 and int8 weights of MatMul, and of Gemm \
             without factors, that nothing else reads",
            few(&refused)
        );
        resolved.warnings.push(Warning::at(spec.at("backend_kwargs/form"), WarningCode::StoredAsQdq, note));
    }
    resolved.leave_native(spec, native);
    chosen
}

/// The form that the options ask for, where it can hold the constant.
fn product_form(options: &Options, graph: &Graph, candidate: &Candidate, dtype: DType) -> Form {
    let nbits = options.nbits.and_then(|accuracy_level| {
        let swaps = candidate.own_axis() == 1;
        MatMulNBits { accuracy_level, swaps }.for_constant(graph, &candidate.source, dtype)
    });
    nbits.unwrap_or_default()
}

fn scheme(options: &Options, candidate: &Candidate, dtype: DType, form: Form) -> Result<WeightScheme, Reason> {
    match form {
        Form::DequantizeLinear | Form::MatMulInteger => {
            in_own_axes(candidate, options.scheme(dtype, &candidate.torch_shape())?)
        }
        Form::MatMulNBits(_) => {
            let scheme = options.grouped(dtype);
            let grid = Grid::new(&candidate.torch_shape(), scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
            Ok(WeightScheme::new(scheme, grid, candidate.format))
        }
    }
}
