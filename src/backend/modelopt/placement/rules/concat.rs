//! Tensors that a Concat joins.
//!
//! TensorRT joins low precision tensors without computing anything where all of them, and the result, have one scale. So they
//! share the largest of their ranges. (NVIDIA ModelOpt does the same; it costs resolution where the ranges differ much.)

use std::collections::BTreeSet;

use crate::{backend::modelopt::placement::site::QdqSite, model::onnx::Graph};

/// The groups of quantized tensors that are to share a range: the result of a Concat and those of its inputs that are
/// quantized, groups with a member in common being one.
pub(in crate::backend::modelopt::placement) fn joined(graph: &Graph, sites: &[QdqSite]) -> Vec<BTreeSet<String>> {
    let quantized: BTreeSet<&String> = sites.iter().map(|site| &site.tensor).collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for node in graph.nodes().filter(|node| graph.op(*node) == Some("Concat")).map(|node| graph.node(node)) {
        let Some(result) = node.output.first().filter(|output| quantized.contains(output)) else { continue };
        let inputs = node.input.iter().filter(|input| quantized.contains(input));
        let mut group: BTreeSet<String> = inputs.chain([result]).cloned().collect();
        let (touched, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|other| !other.is_disjoint(&group));
        groups = apart;
        group.extend(touched.into_iter().flatten());
        groups.push(group);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::modelopt::placement::SiteKind;
    use crate::{
        model::onnx::{Use, testing::GraphBuilder},
        numeric::{DType, FloatFormat},
    };

    #[test]
    fn chains_of_concats_are_one_group_and_what_is_not_quantized_is_in_none() {
        let graph = GraphBuilder::new()
            .node("Concat", &["a", "b"], &["c"])
            .node("Concat", &["c", "d"], &["e"])
            .node("Concat", &["f", "g"], &["h"])
            .build();
        let node = graph.node_at(0).unwrap();
        let site = |tensor: &str| QdqSite {
            layer: 0,
            uses: vec![Use { node, input: 0 }],
            tensor: tensor.to_owned(),
            format: FloatFormat::F32,
            dtype: DType::Int8,
            kind: SiteKind::Input,
        };
        let sites: Vec<QdqSite> = ["a", "c", "e", "f"].into_iter().map(site).collect();
        let group: BTreeSet<String> = ["a", "c", "e"].map(str::to_owned).into();
        assert_eq!(joined(&graph, &sites), [group]);
    }
}
