//! Embedding tables in int8, of which a run decodes the rows that it picks. What such a layer gives stays in floats.

use super::options::Options;
use crate::{
    backend::{
        graph::{forms::Form, inventory::Candidate, tables::is_table},
        weights::WeightScheme,
    },
    model::onnx::Graph,
    numeric::DType,
    quant::{Granularity, Grid, Scheme},
    spec::{QuantizeSpec, Reason, Resolved},
};

/// Takes from the plan of each table what its rule says of activations: its inputs are the table and integers. A table that
/// is to have another dtype than int8 stays native.
pub(super) fn plan_weights_alone(
    spec: &QuantizeSpec,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    resolved: &mut Resolved,
) {
    let mut native = Vec::new();
    for (at, (candidate, plan)) in candidates.iter().zip(&mut resolved.plan.layers).enumerate() {
        let is_table = candidate.as_ref().is_some_and(|candidate| is_table(graph, candidate));
        let Some(dtype) = plan.weights.filter(|_| is_table) else { continue };
        (plan.activations, plan.dynamic, plan.algorithm) = (None, false, None);
        if dtype == DType::Int8 {
            plan.form = Form::Gathered.name();
        } else {
            native.push((at, Reason::EmbeddingInt8Only));
        }
    }
    resolved.leave_native(spec, native);
}

/// Leaves tables native that something else reads as they are: codes beside them would only add to the file. Call when it is
/// known which layers are quantized.
pub(super) fn leave_shared(
    spec: &QuantizeSpec,
    graph: &Graph,
    candidates: &[Option<Candidate>],
    resolved: &mut Resolved,
) {
    let layers = || candidates.iter().zip(&resolved.plan.layers).enumerate();
    let quantized = || {
        layers()
            .filter_map(|(at, (candidate, plan))| Some((at, candidate.as_ref().filter(|_| plan.weights.is_some())?)))
    };
    let is_shared = |table: &Candidate| {
        let reads = graph.tensor(&table.source).map_or(0, |tensor| graph.reads(tensor));
        reads > quantized().filter(|(_, other)| other.source == table.source).count()
    };
    let tables = quantized().filter(|(_, candidate)| is_table(graph, candidate) && is_shared(candidate));
    let native: Vec<_> = tables.map(|(at, _)| (at, Reason::TiedToNative)).collect();
    resolved.leave_native(spec, native);
}

/// How a table is quantized: a scale for each row, in the format of the table. Nothing adds products of its codes, which may
/// use all 8 bits.
pub(super) fn scheme(options: &Options, table: &Candidate) -> Result<WeightScheme, Reason> {
    let granularity = Granularity::PerChannel { axis: 0 };
    let scheme = Scheme { scale_format: None, ..Scheme::onnx(DType::Int8, granularity) };
    let grid = Grid::new(&table.shape, granularity).ok_or(Reason::ShapeUnsupported)?;
    Ok(WeightScheme::new(scheme, grid, table.format).encoded_by(options.encoder))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        backend::{
            graph::{inventory::inventory, tables::add_tables},
            modelopt::{constants, options::FORMATS},
        },
        model::onnx::testing::{GraphBuilder, lines},
        numeric::FloatFormat,
        spec::{LayerPlan, parse, resolve},
    };

    fn table() -> GraphBuilder {
        GraphBuilder::new().weight("w", &[64, 32]).node("Gather", &["w", "ids"], &["rows"])
    }

    fn section(rule: &Value, skipped: &[&str]) -> QuantizeSpec {
        let options = json!({"placement": "onnxruntime", "reduce_range": false});
        let section = json!({"backend": "modelopt", "layers": [rule], "skip_names": skipped,
            "backend_kwargs": options, "allow_unmatched": true});
        parse(&section, "").spec
    }

    /// The plan, and the constants that its weights become with the graph's nodes.
    fn planned(graph: GraphBuilder, rule: &Value, skipped: &[&str]) -> (Vec<LayerPlan>, Vec<String>, Vec<String>) {
        let (mut graph, spec) = (graph.build(), section(rule, skipped));
        let mut inventory = inventory(&graph, &FORMATS, &[]).unwrap();
        add_tables(&graph, &mut inventory).unwrap();
        let mut resolved = resolve(&spec, &inventory.layers);
        plan_weights_alone(&spec, &graph, &inventory.candidates, &mut resolved);
        leave_shared(&spec, &graph, &inventory.candidates, &mut resolved);
        let (options, plan) = (Options::new(&spec), resolved.plan.layers);
        let chosen = constants::choose(&options, &plan, |_| true, &mut graph, &mut inventory.candidates);
        let form = |name: &String| chosen.forms.get(name).and_then(|form| form.name()).unwrap_or("behind");
        let constants = chosen.schemes.iter().map(|(name, scheme)| {
            format!(
                "{name}: {}, {}, {}",
                form(name),
                scheme.scheme.granularity.name(),
                scheme.scheme.rule.divisor(DType::Int8)
            )
        });
        (plan, constants.collect(), lines(&graph))
    }

    fn int8() -> Value {
        let int8 = json!({"dtype": "int8"});
        json!({"module_name": "*", "weights": int8, "activations": int8, "algorithm": "entropy"})
    }

    fn reasons(plan: &[LayerPlan]) -> Vec<Reason> {
        plan.iter().map(|layer| layer.reason).collect()
    }

    #[test]
    fn a_table_has_a_scale_for_each_row_and_nothing_of_the_rest_of_its_rule() {
        let mut rules = vec![int8(), int8()];
        rules[1]["activations"]["dynamic"] = json!(true);
        for rule in rules {
            let (plan, constants, _) = planned(table(), &rule, &[]);
            let [layer] = &plan[..] else { panic!("{plan:?}") };
            assert_eq!((layer.weights, layer.form, layer.reason), (Some(DType::Int8), Some("gathered"), Reason::Rule));
            assert_eq!((layer.activations, layer.dynamic, layer.algorithm.as_deref()), (None, false, None));
            assert_eq!(constants, ["w: gathered, per_channel, 127"]);
        }
    }

    #[test]
    fn a_table_in_another_dtype_stays_native() {
        for dtype in ["int4", "fp8_e4m3fn"] {
            let (plan, constants, _) = planned(table(), &json!({"module_name": "*", "weights": {"dtype": dtype}}), &[]);
            assert_eq!((reasons(&plan), plan[0].form), (vec![Reason::EmbeddingInt8Only], None), "{dtype}");
            assert!(constants.is_empty());
        }
    }

    #[test]
    fn a_table_that_something_reads_as_it_is_stays_native() {
        let twice = || table().node("Gather", &["w", "more"], &["others"]);
        assert_eq!(planned(twice(), &int8(), &[]).1.len(), 1);
        let native = vec![Reason::TiedToNative; 2];
        assert_eq!(reasons(&planned(twice().node("Shape", &["w"], &["s"]), &int8(), &[]).0)[..2], native);
        assert_eq!(reasons(&planned(twice().output("w", &[64, 32]), &int8(), &[]).0), native);
        assert_eq!(reasons(&planned(twice(), &int8(), &["others"]).0), [Reason::TiedToNative, Reason::Skipped]);
    }

    #[test]
    fn a_head_that_is_quantized_too_has_codes_of_its_own() {
        let tied = || table().node("Gemm", &["rows", "w"], &["head"]).int("transB", 1);
        let (plan, constants, nodes) = planned(tied(), &int8(), &[]);
        assert_eq!(reasons(&plan), [Reason::Rule; 2]);
        assert_eq!(constants, ["w: behind, per_channel, 127", "w_2: gathered, per_channel, 127"]);
        assert_eq!(nodes, ["Gather(w_2, ids) -> rows", "Gemm(rows, w) -> head"]);
        let (plan, constants, _) = planned(tied(), &int8(), &["head"]);
        assert_eq!((reasons(&plan), constants.len()), (vec![Reason::TiedToNative, Reason::Skipped], 0));
    }

    #[test]
    fn a_table_of_f16_has_scales_of_f16() {
        let spec = section(&int8(), &[]);
        let graph = table().build();
        let mut inventory = inventory(&graph, &FORMATS, &[]).unwrap();
        add_tables(&graph, &mut inventory).unwrap();
        let table = inventory.candidates[0].clone().unwrap();
        let half = Candidate { format: FloatFormat::F16, ..table };
        let scheme = scheme(&Options::new(&spec), &half).unwrap();
        assert_eq!(scheme.scheme.scale_format(scheme.format), FloatFormat::F16.into());
        assert_eq!(scheme.grid.cells(), (64, 1));
    }
}
