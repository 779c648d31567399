//! The options of the backend: how weights are cut and scaled, and how they are stored.

use serde_json::Value;

use crate::backend::layouts::{self, Layout};
use crate::{
    backend::{BackendOption, OptionKind},
    numeric::DType,
    quant::{Granularity, Grid, ScaleRule, Scheme},
    spec::{Objection, ObjectionCode, QuantizeSpec, Reason},
    tensor::Shape,
};

/// The layout is chosen by what the model is.
pub(super) const AUTO: &str = "auto";

/// Keys of `backend_kwargs`.
pub(super) static OPTIONS: [BackendOption; 5] = [
    BackendOption {
        name: "granularity",
        summary: "how many elements share a scale; int4 is per group without being asked. Blocks are 128×128 and for fp8",
        kind: OptionKind::OneOf(&["per_row", "per_tensor", "per_group", "per_block"]),
        default: "per_row",
    },
    BackendOption {
        name: "group_size",
        summary: "elements of a group along the input axis; asks for `per_group`",
        kind: OptionKind::Number(&[32, 64, 128]),
        default: "128",
    },
    BackendOption {
        name: "layout",
        summary: "how a checkpoint is stored; `auto` is compressed-tensors for a folder with a config.json, else plain",
        kind: OptionKind::OneOf(&[AUTO, "compressed-tensors", "plain", "torchao"]),
        default: AUTO,
    },
    BackendOption {
        name: "scale_rule",
        summary: "how amax becomes the scale of an integer weight: `torchao` is amax/127.5 (int4: 7.5), `amax/127` leaves \
                  the least code unused (int4: 7)",
        kind: OptionKind::OneOf(&["torchao", "amax/127.5", "amax/127"]),
        default: "torchao",
    },
    BackendOption {
        name: "symmetric",
        summary: "false gives integer weights a zero point, so that the codes cover the range from minimum to maximum",
        kind: OptionKind::Switch,
        default: "true",
    },
];

const BLOCK: usize = 128;

/// The options of one job, their types checked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    granularity: Option<String>,
    group_size: Option<usize>,
    max_rule: bool,
    symmetric: bool,
    /// The layout asked for, unless it is left to the model.
    pub(super) layout: Option<&'static dyn Layout>,
}

impl Options {
    /// From a section that passed the backends' check.
    pub(super) fn new(spec: &QuantizeSpec) -> Self {
        let option = |name: &str| spec.backend_kwargs.get(name).filter(|value| !value.is_null());
        let text = |name: &str| option(name).and_then(Value::as_str);
        Options {
            granularity: text("granularity").map(str::to_owned),
            group_size: option("group_size").and_then(Value::as_u64).map(|n| n as usize),
            max_rule: text("scale_rule") == Some("amax/127"),
            symmetric: option("symmetric").and_then(Value::as_bool).unwrap_or(true),
            layout: text("layout").and_then(layouts::find),
        }
    }

    /// Combinations that no layer could be given.
    pub(super) fn objections(&self, spec: &QuantizeSpec) -> Vec<Objection> {
        let dtypes = || spec.layers.iter().filter_map(|rule| Some((rule, rule.weights?.dtype.dtype()?)));
        let mut objections = Vec::new();
        let granularity = self.granularity.as_deref();
        let mut object = |field: &str, message: String, hint: &str| {
            let pointer = spec.at(&format!("backend_kwargs/{field}"));
            objections.push(Objection::new(pointer, ObjectionCode::OptionConflict, message).hint(hint));
        };
        if self.group_size.is_some() && granularity.is_some_and(|g| g != "per_group") {
            let message = format!("a group size under granularity `{}`", granularity.unwrap_or_default());
            object("group_size", message, "remove it, or make the granularity `per_group`");
        }
        if let (Some("per_block"), Some((rule, dtype))) = (granularity, dtypes().find(|(_, d)| d.is_integer())) {
            let message = format!("blocks of 128×128 are for fp8, and {}/weights asks for {dtype}", rule.pointer);
            object("granularity", message, "use `per_group`, or an fp8 dtype");
        }
        if !self.symmetric && dtypes().next().is_some() && dtypes().all(|(_, dtype)| !dtype.is_integer()) {
            object("symmetric", "fp8 has no zero point".to_owned(), "remove the option, or use an integer dtype");
        }
        objections
    }

    /// How a weight of this shape is quantized in PyTorch's order of axes, `[out, in, …]`, or why it is not.
    pub(super) fn scheme(&self, dtype: DType, shape: &Shape) -> Result<Scheme, Reason> {
        let per_group = Granularity::PerGroup { axis: 1, size: self.group_size.unwrap_or(128) };
        let granularity = match self.granularity.as_deref() {
            Some("per_tensor") => Granularity::PerTensor,
            Some("per_group") => per_group,
            Some("per_block") => Granularity::PerBlock { rows: BLOCK, columns: BLOCK },
            None if self.group_size.is_some() || dtype == DType::Int4 => per_group,
            _ => Granularity::PerChannel { axis: 0 },
        };
        let scheme = Scheme { rule: self.rule(dtype), ..Scheme::torchao(dtype, granularity) };
        let grid = Grid::new(shape, granularity).ok_or(Reason::ShapeUnsupported)?;
        let ragged = match granularity {
            Granularity::PerGroup { .. } => !grid.is_even(),
            Granularity::PerBlock { columns, .. } => !grid.columns.is_multiple_of(columns),
            _ => false,
        };
        if ragged { Err(Reason::GroupRagged) } else { Ok(scheme) }
    }

    fn rule(&self, dtype: DType) -> ScaleRule {
        match (dtype.is_integer(), self.symmetric) {
            (true, false) => ScaleRule::RangeOverSteps,
            (true, true) if !self.max_rule => ScaleRule::AmaxOverHalfRange,
            _ => ScaleRule::AmaxOverMax,
        }
    }
}
