//! Image channels to a multiple of 4: the fast integer convolutions of onnxruntime's x86 kernels take no other number
//! (`MlasConvSymPackWSize`), and images have 3.

use super::placement::{QdqSite, SiteKind};
use crate::{
    backend::graph::inventory::Candidate,
    model::onnx::{Bytes, Graph, NodeId, TensorId, Use, constant, int_attribute, new_node, proto::TensorProto},
    numeric::FloatFormat,
};

/// What the number of channels is to be divisible by.
const MULTIPLE: usize = 4;

/// Appends channels of zeros to inputs of the graph that nothing but a convolution reads in codes, and to the filters there.
/// How many were appended to.
pub(super) fn pad(graph: &mut Graph, sites: &[QdqSite], candidates: &[Option<Candidate>]) -> usize {
    let padded = sites.iter().filter_map(|site| stem(graph, site, candidates)).collect::<Vec<_>>();
    padded.iter().for_each(|stem| stem.apply(graph));
    padded.len()
}

/// A convolution whose input is to be padded.
struct Stem {
    node: NodeId,
    input: TensorId,
    weight: String,
    /// The filters with the channels appended.
    filters: TensorProto,
    rank: usize,
    missing: usize,
}

fn stem(graph: &Graph, site: &QdqSite, candidates: &[Option<Candidate>]) -> Option<Stem> {
    let [only] = site.uses[..] else { return None };
    let input = graph.tensor(&site.tensor).filter(|&input| graph.producer(input).is_none())?;
    let candidate = candidates.get(site.layer)?.as_ref().filter(|candidate| candidate.node == only.node)?;
    let node = graph.node(only.node);
    let plain = graph.op(only.node) == Some("Conv") && int_attribute(node, "group").unwrap_or(1) == 1;
    if site.kind == SiteKind::Input || !plain || candidate.format != FloatFormat::F32 {
        return None;
    }
    let weight = constant(graph, graph.tensor(&candidate.source)?).ok()??;
    let [outputs, channels, ..] = *weight.shape.dims() else { return None };
    let missing = channels.next_multiple_of(MULTIPLE) - channels;
    if missing == 0 {
        return None;
    }
    let size = candidate.format.size();
    let kernel: usize = weight.shape.dims().iter().skip(2).product();
    let filter = channels * kernel * size;
    let mut bytes = Vec::with_capacity(outputs * (filter + missing * kernel * size));
    for output in 0..outputs {
        bytes.extend_from_slice(&weight.read(output * filter..(output + 1) * filter));
        bytes.resize(bytes.len() + missing * kernel * size, 0);
    }
    let mut dims: Vec<i64> = weight.shape.dims().iter().map(|&dim| dim as i64).collect();
    *dims.get_mut(1)? += missing as i64;
    let filters = TensorProto {
        dims,
        data_type: Some(candidate.format.onnx()),
        raw_data: Some(Bytes::from(bytes)),
        ..Default::default()
    };
    let rank = weight.shape.rank();
    Some(Stem { node: only.node, input, weight: candidate.source.clone(), filters, rank, missing })
}

impl Stem {
    fn apply(&self, graph: &mut Graph) {
        let weight = graph.claim(&self.weight);
        graph.add_initializer(TensorProto { name: Some(weight.clone()), ..self.filters.clone() });
        graph.set_input(Use { node: self.node, input: 1 }, &weight);
        if graph.tensor(&self.weight).is_some_and(|old| graph.reads(old) == 0) {
            graph.take_initializers(|tensor| tensor.name.as_ref() == Some(&self.weight));
        }
        // None before any axis, and the channels behind the second.
        let mut pads = vec![0_i64; 2 * self.rank];
        if let Some(channels) = pads.get_mut(self.rank + 1) {
            *channels = self.missing as i64;
        }
        let input = graph.name(self.input).to_owned();
        let pads = graph.add_ints(&format!("{input}.pads"), &pads);
        let output = graph.claim(&format!("{input}.padded"));
        let pad = new_node("Pad", "", vec![input, pads], &output);
        let one = Use { node: self.node, input: 0 };
        graph.insert_behind_for(self.input, &[one], vec![pad]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::graph::inventory::inventory,
        model::onnx::testing::{GraphBuilder, constants, lines},
        numeric::DType,
    };

    fn padded(channels: i64, kind: SiteKind) -> Graph {
        let size = 2 * channels;
        let graph = GraphBuilder::new().input("x", &[1, channels, 2, 2]).weight("w", &[2, channels, 1, 1]);
        let mut graph = graph.node("Conv", &["x", "w"], &["y"]).output("y", &[1, 2, 2, 2]).build();
        assert_eq!(size, graph.initializers().next().unwrap().dims.iter().product::<i64>());
        let candidates = inventory(&graph, &[FloatFormat::F32], &[]).unwrap().candidates;
        let node = graph.node_at(0).unwrap();
        let uses = vec![Use { node, input: 0 }];
        let (format, dtype) = (FloatFormat::F32, DType::Int8);
        let site = QdqSite { layer: 0, uses, tensor: "x".to_owned(), format, dtype, kind };
        pad(&mut graph, &[site], &candidates);
        graph
    }

    #[test]
    fn images_of_three_channels_get_a_fourth_of_zeros_and_so_do_their_filters() {
        let behind = || SiteKind::Behind { asymmetric: true, scale_of: None };
        let graph = padded(3, behind());
        assert_eq!(lines(&graph), ["Pad(x, x.pads) -> x.padded", "Conv(x.padded, w_2) -> y"]);
        assert_eq!(constants(&graph), ["w_2", "x.pads"]);
        let filters = graph.initializer(graph.tensor("w_2").unwrap()).unwrap();
        assert_eq!(filters.dims, [2, 4, 1, 1]);
        let values = FloatFormat::F32.decode(filters.raw_data.as_ref().unwrap());
        assert_eq!(values, [0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0, 0.0]);
        assert_eq!(lines(&padded(8, behind())), ["Conv(x, w) -> y"]);
        assert_eq!(lines(&padded(3, SiteKind::Input)), ["Conv(x, w) -> y"]);
    }
}
