//! The options of the backend: how weights are cut and scaled, and how they are stored.

use serde_json::Value;

use crate::{
    backend::{
        layouts::{self, LAYOUTS, Layout},
        options::{BackendOption, Form, Number, OneOf, OptionKind, Override, Setting, Switch, Whole},
        weights::{ENCODER, Encoder},
    },
    numeric::{DType, Groups},
    quant::{Granularity, Grid, ScaleRule, Scheme},
    spec::{Objection, ObjectionCode, QuantizeSpec, Reason},
    tensor::Shape,
};

/// Keys of `backend_kwargs`, sorted by name.
pub(super) static OPTIONS: [&dyn BackendOption; 8] =
    [&ACCURACY_LEVEL, &ENCODER, &FORM, &GRANULARITY, &GROUP_SIZE, &LAYOUT, &SCALE_RULE, &SYMMETRIC];

static ACCURACY_LEVEL: Setting<Whole> = Setting {
    name: "accuracy_level",
    summary: "for form `matmul_nbits`: the least precision in which onnxruntime may take what the weight is multiplied with; \
              4 is int8 in blocks, the fastest, 3 bf16, 2 f16, 0 and 1 f32; CPUs know 4 and f32",
    form: Whole(0, 4),
    default: 4,
};
static FORM: Setting<OneOf<ProductForm>> = Setting {
    name: "form",
    summary: "how an ONNX graph holds the int4 and int8 weights of products: `qdq` behind a DequantizeLinear, for every \
              runtime; `matmul_nbits` in onnxruntime's MatMulNBits, in groups, for models that decode row by row",
    form: OneOf(&[("qdq", ProductForm::Qdq), ("matmul_nbits", ProductForm::MatMulNBits)]),
    default: ProductForm::Qdq,
};
static GRANULARITY: Override<OneOf<Sharing>> = Override {
    name: "granularity",
    summary: "how many elements share a scale; int4 is per group without being asked. Blocks are 128×128 and for fp8; mxfp4 and \
              mxfp8 have groups of 32 always",
    form: OneOf(&[
        ("per_row", Sharing::Row),
        ("per_tensor", Sharing::Tensor),
        ("per_group", Sharing::Group),
        ("per_block", Sharing::Block),
    ]),
    default: "per_row",
};
static GROUP_SIZE: Setting<Number> = Setting {
    name: "group_size",
    summary: "elements of a group along the input axis; asks for `per_group`",
    form: Number(Groups::OPTIONAL.sizes),
    default: Groups::OPTIONAL.default,
};
static LAYOUT: Setting<LayoutName> = Setting {
    name: "layout",
    summary: "how a checkpoint is stored; `auto` is compressed-tensors for a folder with a config.json, else plain",
    form: LayoutName,
    default: None,
};
static SCALE_RULE: Setting<OneOf<ScaleRule>> = Setting {
    name: "scale_rule",
    summary: "how amax becomes the scale of an integer weight: `torchao` is amax/127.5 (int4: 7.5), `amax/127` leaves \
              the least code unused (int4: 7)",
    form: OneOf(&[
        ("torchao", ScaleRule::AmaxOverHalfRange),
        ("amax/127.5", ScaleRule::AmaxOverHalfRange),
        ("amax/127", ScaleRule::AmaxOverMax),
    ]),
    default: ScaleRule::AmaxOverHalfRange,
};
static SYMMETRIC: Setting<Switch> = Setting {
    name: "symmetric",
    summary: "false gives integer weights a zero point, so that the codes cover the range from minimum to maximum",
    form: Switch,
    default: true,
};

const BLOCK: usize = 128;

/// Which elements of a weight share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Those of an output channel.
    Row,
    /// All elements of the weight.
    Tensor,
    /// So many of an output channel, side by side.
    Group,
    /// Those of a block of 128×128.
    Block,
}

/// How a graph holds the weights of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProductForm {
    /// Behind a DequantizeLinear.
    Qdq,
    /// In nodes of MatMulNBits.
    MatMulNBits,
}

/// The layouts by name; `None` is `auto`, the one that fits what the model is.
#[derive(Debug)]
struct LayoutName;

impl LayoutName {
    const AUTO: &str = "auto";
}

impl Form for LayoutName {
    type Value = Option<&'static Layout>;

    fn kind(&self) -> OptionKind {
        OptionKind::OneOf([Self::AUTO].into_iter().chain(LAYOUTS.iter().map(|layout| layout.name)).collect())
    }

    fn parse(&self, value: &Value) -> Option<Self::Value> {
        let name = value.as_str()?;
        if name == Self::AUTO { Some(None) } else { layouts::find(name).map(Some) }
    }

    fn text(&self, value: Self::Value) -> String {
        value.map_or(Self::AUTO, |layout| layout.name).to_owned()
    }
}

/// The options of one job, their types checked.
#[derive(Clone, Debug)]
pub(super) struct Options {
    sharing: Option<Sharing>,
    group_size: usize,
    /// Whether groups are asked for by their size alone.
    group_size_given: bool,
    rule: ScaleRule,
    symmetric: bool,
    /// The `accuracy_level` of nodes of MatMulNBits, if products are to be such nodes.
    pub(super) nbits: Option<usize>,
    /// What turns weights into codes.
    pub(super) encoder: &'static dyn Encoder,
    /// The layout asked for, unless it is left to the model.
    pub(super) layout: Option<&'static Layout>,
}

impl Options {
    /// From a section that passed the backends' check.
    pub(super) fn new(spec: &QuantizeSpec) -> Self {
        Options {
            sharing: GRANULARITY.of(spec),
            group_size: GROUP_SIZE.of(spec),
            group_size_given: GROUP_SIZE.is_given(spec),
            rule: SCALE_RULE.of(spec),
            symmetric: SYMMETRIC.of(spec),
            nbits: (FORM.of(spec) == ProductForm::MatMulNBits).then(|| ACCURACY_LEVEL.of(spec)),
            encoder: ENCODER.of(spec),
            layout: LAYOUT.of(spec),
        }
    }

    /// Combinations that no layer could be given.
    pub(super) fn objections(&self, spec: &QuantizeSpec) -> Vec<Objection> {
        let dtypes = || spec.layers.iter().filter_map(|rule| Some((rule, rule.weights?.dtype.dtype()?)));
        let mut objections = Vec::new();
        let mut object = |field: &str, message: String, hint: &str| {
            let pointer = spec.at(&format!("backend_kwargs/{field}"));
            objections.push(Objection::new(pointer, ObjectionCode::OptionConflict, message).hint(hint));
        };
        if let Some(other) = self.sharing.filter(|sharing| self.group_size_given && *sharing != Sharing::Group) {
            let message = format!("a group size under granularity `{}`", GRANULARITY.form.text(other));
            object("group_size", message, "remove it, or make the granularity `per_group`");
        }
        if let Some(other) = self.sharing.filter(|sharing| self.nbits.is_some() && *sharing != Sharing::Group) {
            let message =
                format!("MatMulNBits has a scale for each group, not granularity `{}`", GRANULARITY.form.text(other));
            object("granularity", message, "remove it, or choose form `qdq`");
        }
        if self.nbits.is_none() && ACCURACY_LEVEL.is_given(spec) {
            let message = "an accuracy level without nodes of MatMulNBits".to_owned();
            object("accuracy_level", message, "remove it, or choose form `matmul_nbits`");
        }
        if let (Some(Sharing::Block), Some((rule, dtype))) = (self.sharing, dtypes().find(|(_, d)| d.is_integer())) {
            let message = format!("blocks of 128×128 are for fp8, and {} asks for {dtype}", rule.at("weights"));
            object("granularity", message, "use `per_group`, or an fp8 dtype");
        }
        let fixed = dtypes().next().is_some() && dtypes().all(|(_, dtype)| dtype.spec().groups.are_fixed());
        if let Some(other) = self.sharing.filter(|sharing| fixed && *sharing != Sharing::Group) {
            let message = format!(
                "a microscaling format has blocks of its own, not granularity `{}`",
                GRANULARITY.form.text(other)
            );
            object("granularity", message, "remove the option");
        }
        if fixed && self.group_size_given && self.group_size != Groups::MICROSCALED.default {
            let message = format!("the blocks of a microscaling format have {} elements", Groups::MICROSCALED.default);
            object("group_size", message, "remove the option");
        }
        if !self.symmetric && dtypes().next().is_some() && dtypes().all(|(_, dtype)| !dtype.is_integer()) {
            object(
                "symmetric",
                "float formats have no zero point".to_owned(),
                "remove the option, or use an integer dtype",
            );
        }
        objections.extend(self.activations(spec));
        objections
    }

    /// Rules whose own activations do not go with their weights; which rules meet in a layer shows in the plan.
    fn activations(&self, spec: &QuantizeSpec) -> Vec<Objection> {
        let rules = spec.layers.iter().filter_map(|rule| {
            let activations = rule.activations.filter(|activations| activations.dynamic)?.dtype.dtype()?;
            let known = layouts::ACTIVATIONS.contains(&activations);
            known.then_some((rule.at("activations"), self.uncut(rule.weights?.dtype.dtype()?), activations))
        });
        rules.filter_map(|(at, scheme, dtype)| layouts::objection(&at, &scheme, dtype, self.layout)).collect()
    }

    /// How a weight is quantized whose shape allows it.
    fn uncut(&self, dtype: DType) -> Scheme {
        if dtype.spec().groups.are_fixed() {
            return Scheme::microscaled(dtype);
        }
        let per_group = self.per_group(dtype);
        let granularity = match self.sharing {
            Some(Sharing::Tensor) => Granularity::PerTensor,
            Some(Sharing::Group) => per_group,
            Some(Sharing::Block) => Granularity::PerBlock { rows: BLOCK, columns: BLOCK },
            None if self.group_size_given || dtype.spec().groups.required => per_group,
            _ => Granularity::PerChannel { axis: 0 },
        };
        self.scheme_of(dtype, granularity)
    }

    /// How a weight of this shape is quantized in PyTorch's order of axes, `[out, in, …]`, or why it is not.
    pub(super) fn scheme(&self, dtype: DType, shape: &Shape) -> Result<Scheme, Reason> {
        let scheme = self.uncut(dtype);
        let granularity = scheme.granularity;
        let grid = Grid::new(shape, granularity).ok_or(Reason::ShapeUnsupported)?;
        let ragged = match granularity {
            Granularity::PerGroup { .. } => !grid.is_even(),
            Granularity::PerBlock { columns, .. } => !grid.columns.is_multiple_of(columns),
            _ => false,
        };
        if ragged { Err(Reason::GroupRagged) } else { Ok(scheme) }
    }

    /// How a weight is quantized that nodes of MatMulNBits hold: by groups, the last of which may be cut off.
    pub(super) fn grouped(&self, dtype: DType) -> Scheme {
        self.scheme_of(dtype, self.per_group(dtype))
    }

    /// How an embedding table of a graph is quantized: a scale for each row, and no zero points.
    pub(super) fn table(&self) -> Scheme {
        Scheme { rule: self.rule, ..Scheme::torchao(DType::Int8, Granularity::PerChannel { axis: 0 }) }
    }

    fn per_group(&self, dtype: DType) -> Granularity {
        let size = if self.group_size_given { self.group_size } else { dtype.spec().groups.default };
        Granularity::PerGroup { axis: 1, size }
    }

    fn scheme_of(&self, dtype: DType, granularity: Granularity) -> Scheme {
        Scheme { rule: self.rule(dtype), ..Scheme::torchao(dtype, granularity) }
    }

    fn rule(&self, dtype: DType) -> ScaleRule {
        match (dtype.is_integer(), self.symmetric) {
            (true, false) => ScaleRule::RangeOverSteps,
            (true, true) => self.rule,
            (false, _) => ScaleRule::AmaxOverMax,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(dtype: &str, options: Value) -> QuantizeSpec {
        let layers = json!([{"module_name": "*", "weights": {"dtype": dtype}}]);
        crate::spec::parse(&json!({"backend": "torchao", "layers": layers, "backend_kwargs": options}), "").spec
    }

    fn scheme(dtype: DType, options: Value, dims: [usize; 2]) -> Result<Scheme, Reason> {
        Options::new(&spec(dtype.spec().name, options)).scheme(dtype, &Shape::new(dims.to_vec()).unwrap())
    }

    fn granularity(dtype: DType, options: Value) -> String {
        scheme(dtype, options, [256, 256]).unwrap().granularity.name()
    }

    #[test]
    fn elements_share_a_scale_as_asked_or_as_the_dtype_needs() {
        assert_eq!(granularity(DType::Int8, json!({})), "per_channel");
        assert_eq!(granularity(DType::Int4, json!({})), "per_group_128");
        assert_eq!(granularity(DType::Int4, json!({"granularity": "per_tensor"})), "per_tensor");
        assert_eq!(granularity(DType::Int8, json!({"group_size": 32})), "per_group_32");
        assert_eq!(granularity(DType::Int8, json!({"granularity": "per_group"})), "per_group_128");
        assert_eq!(granularity(DType::Fp8E4m3fn, json!({"granularity": "per_block"})), "per_block_128x128");
    }

    #[test]
    fn microscaling_formats_have_blocks_of_their_own() {
        for options in [json!({}), json!({"granularity": "per_row", "symmetric": false})] {
            let found = scheme(DType::Mxfp4, options, [4, 64]).unwrap();
            assert_eq!((found.granularity.name(), found.rule), ("per_group_32".to_owned(), ScaleRule::PowerOfTwo));
        }
        assert_eq!(scheme(DType::Mxfp8, json!({}), [4, 48]), Err(Reason::GroupRagged));
    }

    #[test]
    fn the_rule_of_the_scale_is_the_integers() {
        let rule = |dtype, options| scheme(dtype, options, [256, 256]).unwrap().rule;
        assert_eq!(rule(DType::Int8, json!({})), ScaleRule::AmaxOverHalfRange);
        assert_eq!(rule(DType::Int8, json!({"scale_rule": "amax/127"})), ScaleRule::AmaxOverMax);
        assert_eq!(rule(DType::Int4, json!({"symmetric": false})), ScaleRule::RangeOverSteps);
        assert_eq!(rule(DType::Fp8E5m2, json!({"symmetric": false})), ScaleRule::AmaxOverMax);
    }

    #[test]
    fn ragged_groups_and_shapes_without_a_grid_have_a_reason() {
        assert_eq!(scheme(DType::Int4, json!({}), [4, 100]), Err(Reason::GroupRagged));
        let blocks = json!({"granularity": "per_block"});
        assert_eq!(scheme(DType::Fp8E4m3fn, blocks.clone(), [128, 130]), Err(Reason::GroupRagged));
        assert!(scheme(DType::Fp8E4m3fn, blocks, [130, 128]).is_ok(), "the last rows of blocks may be fewer");
        let convolution = Shape::new(vec![4, 4, 3, 3]).unwrap();
        let options = Options::new(&spec("int4", json!({})));
        assert_eq!(options.scheme(DType::Int4, &convolution), Err(Reason::ShapeUnsupported));
    }

    #[test]
    fn nodes_of_matmul_nbits_have_groups_without_being_asked_and_the_least_accuracy() {
        let options = |options| Options::new(&spec("int8", options));
        assert_eq!(options(json!({})).nbits, None);
        assert_eq!(options(json!({"form": "matmul_nbits"})).nbits, Some(4));
        assert_eq!(options(json!({"form": "matmul_nbits", "accuracy_level": 1})).nbits, Some(1));
        assert_eq!(options(json!({})).grouped(DType::Int8).granularity.name(), "per_group_128");
        assert_eq!(options(json!({"group_size": 32})).grouped(DType::Int4).granularity.name(), "per_group_32");
    }

    #[test]
    fn what_no_layer_could_be_given_is_objected_to() {
        let pointers = |dtype, options| {
            let spec = spec(dtype, options);
            let objections = Options::new(&spec).objections(&spec);
            objections.into_iter().map(|objection| objection.pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            pointers("int8", json!({"granularity": "per_row", "group_size": 32})),
            ["/backend_kwargs/group_size"]
        );
        assert_eq!(pointers("int8", json!({"granularity": "per_block"})), ["/backend_kwargs/granularity"]);
        assert_eq!(pointers("fp8_e4m3fn", json!({"symmetric": false})), ["/backend_kwargs/symmetric"]);
        assert_eq!(pointers("mxfp4", json!({"granularity": "per_row"})), ["/backend_kwargs/granularity"]);
        assert_eq!(pointers("mxfp8", json!({"group_size": 64})), ["/backend_kwargs/group_size"]);
        assert_eq!(pointers("mxfp8", json!({"group_size": 32})), Vec::<String>::new());
        let nbits = |granularity| json!({"form": "matmul_nbits", "granularity": granularity, "accuracy_level": 0});
        assert_eq!(pointers("int8", nbits("per_row")), ["/backend_kwargs/granularity"]);
        assert_eq!(pointers("int8", nbits("per_group")), Vec::<String>::new());
        assert_eq!(pointers("int8", json!({"accuracy_level": 0})), ["/backend_kwargs/accuracy_level"]);
        assert_eq!(pointers("int8", json!({"granularity": "per_group", "group_size": 32})), Vec::<String>::new());
    }
}
