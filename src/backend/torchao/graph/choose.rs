//! From the plan to a scheme and a form for each constant, and what only shows once these are known.

use std::collections::BTreeMap;

use super::{own_axes::in_own_axes, readers::Readers};
use crate::{
    backend::{
        graph::{
            forms::{Form, Forms, MatMulNBits},
            inventory::Candidate,
            tables::is_table,
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
pub(super) struct Constants {
    pub(super) weights: BTreeMap<String, WeightScheme>,
    pub(super) forms: Forms,
}

impl Constants {
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
) -> Constants {
    let mut chosen = Constants::default();
    let (mut native, mut formed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    let readers = Readers::new(graph, candidates);
    for (at, (candidate, plan)) in candidates.iter().zip(&resolved.plan.layers).enumerate() {
        let (Some(candidate), Some(dtype)) = (candidate, plan.weights) else { continue };
        let alike = |other: usize| {
            let manner = |at: usize| {
                let candidate = candidates.get(at).and_then(Option::as_ref)?;
                Some((resolved.plan.layers.get(at)?.weights?, candidate.own_axis(), is_table(graph, candidate)))
            };
            manner(other) == manner(at)
        };
        if readers.others.contains(&candidate.source)
            || !readers.layers.get(&candidate.source).into_iter().flatten().all(|&other| alike(other))
        {
            native.push((at, Reason::TiedToNative));
            continue;
        }
        match form(options, graph, candidate, dtype)
            .and_then(|form| Ok((form, scheme(options, candidate, dtype, form)?)))
        {
            Ok((form, weight)) => {
                chosen.weights.insert(candidate.source.clone(), weight.encoded_by(options.encoder));
                chosen.forms.extend(form.name().map(|_| (candidate.source.clone(), form)));
                formed.push((at, form));
                if form == Form::DequantizeLinear && options.nbits.is_some() {
                    refused.push(format!("`{}`", plan.name));
                }
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
    warn_of_convolutions(resolved);
    chosen
}

/// Says which convolutions CPU runtimes decode the weights of at every run, for which they have no other form.
fn warn_of_convolutions(resolved: &mut Resolved) {
    let decoded = resolved.plan.layers.iter().filter(|plan| plan.weights.is_some() && plan.op_type.starts_with("Conv"));
    let names: Vec<String> = decoded.map(|plan| format!("`{}`", plan.name)).collect();
    if !names.is_empty() {
        let note = format!(
            "CPU runtimes decode the weights of these convolutions at every run, so the result is smaller than the original \
             and slower: {}",
            few(&names)
        );
        resolved.warnings.push(Warning::new(WarningCode::DequantizedAtEachRun, note));
    }
}

/// The form of a constant: that which the options ask for, where it can hold the weight of a product.
fn form(options: &Options, graph: &Graph, candidate: &Candidate, dtype: DType) -> Result<Form, Reason> {
    if is_table(graph, candidate) {
        return if dtype == DType::Int8 {
            Form::for_table(graph, &candidate.source).ok_or(Reason::TiedToNative)
        } else {
            Err(Reason::EmbeddingInt8Only)
        };
    }
    let nbits = options.nbits.and_then(|accuracy_level| {
        let swaps = candidate.own_axis() == 1;
        MatMulNBits { accuracy_level, swaps }.for_constant(graph, &candidate.source, dtype)
    });
    Ok(nbits.unwrap_or_default())
}

fn scheme(options: &Options, candidate: &Candidate, dtype: DType, form: Form) -> Result<WeightScheme, Reason> {
    match form {
        Form::DequantizeLinear | Form::MatMulInteger => {
            in_own_axes(candidate, options.scheme(dtype, &candidate.torch_shape())?)
        }
        Form::Gathered | Form::MatMulNBits(_) => {
            let scheme = if form == Form::Gathered { options.table() } else { options.grouped(dtype) };
            let grid = Grid::new(&candidate.torch_shape(), scheme.granularity).ok_or(Reason::ShapeUnsupported)?;
            Ok(WeightScheme::new(scheme, grid, candidate.format))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        backend::graph::{inventory::inventory, tables::add_tables},
        model::onnx::testing::GraphBuilder,
        numeric::FloatFormat,
        spec::{parse, resolve},
    };

    fn chosen(graph: GraphBuilder, dtype: &str, options: Value) -> (Constants, Resolved) {
        let rules = json!([{"module_name": "type:*", "weights": {"dtype": dtype}}]);
        let spec = parse(&json!({"backend": "torchao", "layers": rules, "backend_kwargs": options}), "").spec;
        let graph = graph.build();
        let mut inventory = inventory(&graph, &[FloatFormat::F32], &[]).unwrap();
        add_tables(&graph, &mut inventory).unwrap();
        let mut resolved = resolve(&spec, &inventory.layers);
        let chosen = choose(&spec, &Options::new(&spec), &graph, &inventory.candidates, &mut resolved);
        (chosen, resolved)
    }

    fn reasons(resolved: &Resolved) -> Vec<Reason> {
        resolved.plan.layers.iter().map(|layer| layer.reason).collect()
    }

    fn codes(resolved: &Resolved) -> Vec<&str> {
        resolved.warnings.iter().map(|warning| &*warning.code).collect()
    }

    fn table() -> GraphBuilder {
        GraphBuilder::new().weight("w", &[64, 64]).node("Gather", &["w", "ids"], &["rows"])
    }

    fn product() -> GraphBuilder {
        GraphBuilder::new().weight("v", &[64, 64]).node("MatMul", &["x", "v"], &["y"])
    }

    #[test]
    fn a_table_is_gathered_in_int8_and_stays_where_another_dtype_is_asked_for() {
        let (chosen_int8, resolved) = chosen(table(), "int8", json!({"symmetric": false, "group_size": 32}));
        assert_eq!(chosen_int8.forms.get("w"), Some(&Form::Gathered));
        let scheme = chosen_int8.weights["w"].scheme;
        assert_eq!((scheme.granularity.name(), scheme.rule.is_asymmetric()), ("per_channel".to_owned(), false));
        assert_eq!(resolved.plan.layers[0].form, Some("gathered"));
        for dtype in ["int4", "fp8_e4m3fn"] {
            let (none, resolved) = chosen(table(), dtype, json!({}));
            assert_eq!((none.weights.len(), reasons(&resolved)), (0, vec![Reason::EmbeddingInt8Only]), "{dtype}");
        }
    }

    #[test]
    fn a_table_that_a_product_reads_too_stays_for_both() {
        let native = vec![Reason::TiedToNative; 2];
        let direct = table().node("MatMul", &["x", "w"], &["y"]);
        assert_eq!(reasons(&chosen(direct, "int8", json!({})).1), native);
        let head = table().node("Transpose", &["w"], &["t"]).node("MatMul", &["x", "t"], &["y"]);
        let reasons = reasons(&chosen(head, "int8", json!({})).1);
        assert_eq!([reasons[0], reasons[2]], native[..]);
    }

    #[test]
    fn products_have_the_form_that_is_asked_for_where_it_holds_them_and_a_warning_elsewhere() {
        let (usual, _) = chosen(product(), "int4", json!({"group_size": 32}));
        assert!(usual.forms.is_empty() && usual.needed_opset() == 21);
        let nbits = json!({"form": "matmul_nbits", "group_size": 32});
        let (one, resolved) = chosen(product(), "int4", nbits.clone());
        let form = Form::MatMulNBits(MatMulNBits { accuracy_level: 4, swaps: true });
        assert_eq!((one.forms.get("v"), one.needed_opset()), (Some(&form), 7));
        assert_eq!((resolved.plan.layers[0].form, codes(&resolved)), (Some("matmul_nbits"), vec![]));
        let (_, resolved) = chosen(product().node("Shape", &["v"], &["s"]), "int4", nbits.clone());
        assert_eq!((resolved.plan.layers[0].form, codes(&resolved)), (None, vec!["stored_as_qdq"]));
        let (_, resolved) = chosen(product(), "fp8_e4m3fn", nbits.clone());
        assert_eq!((reasons(&resolved), codes(&resolved)), (vec![Reason::Rule], vec!["stored_as_qdq"]));
        let (_, resolved) = chosen(table(), "int8", nbits);
        assert_eq!(codes(&resolved), Vec::<&str>::new(), "a table has a form of its own");
    }

    #[test]
    fn weights_of_convolutions_come_with_a_warning() {
        let graph = || GraphBuilder::new().weight("w", &[4, 4, 3, 3]).node("Conv", &["x", "w"], &["stem"]);
        let (_, resolved) = chosen(graph(), "int8", json!({}));
        assert_eq!(codes(&resolved), ["dequantized_at_each_run"]);
        assert!(resolved.warnings[0].message.ends_with("`stem`"), "{:?}", resolved.warnings);
        assert_eq!(codes(&chosen(product(), "int8", json!({})).1), Vec::<&str>::new());
    }
}
