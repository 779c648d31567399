//! Whether a model's functions end: a function is a node that stands for other nodes, and a few kilobytes of them can stand for
//! billions, or for a chain that is deeper than an engine's stack.

use std::collections::HashMap;

use super::{
    OnnxError,
    node::{inner_graphs, is_own_domain},
    proto::{FunctionProto, GraphProto, NodeProto},
};

/// The most functions of a model. Exporters write one for each kind of module: some hundreds.
const MOST_FUNCTIONS: usize = 4096;
/// How deep they may stand in one another.
const DEEPEST: usize = 64;
/// The most nodes that the graph and its functions may stand for together.
const MOST_NODES: u64 = 4 << 20;

/// A function's name: its domain, the operator's type, and which of several.
type Key<'m> = (&'m str, &'m str, &'m str);

/// What a function stands for, once known.
#[derive(Clone, Copy)]
struct Size {
    nodes: u64,
    depth: usize,
}

/// Checks that a graph with these functions stands for no more than an engine can hold.
pub(super) fn check(functions: &[FunctionProto], graph: &GraphProto) -> Result<(), OnnxError> {
    if functions.len() > MOST_FUNCTIONS {
        return Err(OnnxError::Functions {
            reason: format!("it has {}, and {MOST_FUNCTIONS} may be", functions.len()),
        });
    }
    if functions.is_empty() {
        return Ok(());
    }
    let by_name = functions.iter().map(|f| (key(&f.domain, &f.name, &f.overload), f));
    let mut sizes = Sizes { functions: by_name.collect(), known: HashMap::new() };
    sizes.of(&graph.node, 0).map(drop)
}

fn key<'m>(domain: &'m Option<String>, name: &'m Option<String>, overload: &'m Option<String>) -> Key<'m> {
    // ONNX's own domain has two names.
    let domain = domain.as_deref().filter(|domain| !is_own_domain(Some(domain))).unwrap_or_default();
    (domain, name.as_deref().unwrap_or_default(), overload.as_deref().unwrap_or_default())
}

struct Sizes<'m> {
    functions: HashMap<Key<'m>, &'m FunctionProto>,
    known: HashMap<Key<'m>, Size>,
}

impl<'m> Sizes<'m> {
    /// What nodes stand for that are so many functions deep.
    fn of(&mut self, nodes: &'m [NodeProto], depth: usize) -> Result<Size, OnnxError> {
        let too = |what: &str| OnnxError::Functions { reason: what.to_owned() };
        if depth > DEEPEST {
            return Err(too(&format!("they stand in one another more than {DEEPEST} deep, or in a circle")));
        }
        let mut whole = Size { nodes: 0, depth: 0 };
        let mut pending: Vec<&'m NodeProto> = nodes.iter().collect();
        while let Some(node) = pending.pop() {
            pending.extend(inner_graphs(node).flat_map(|graph| &graph.node));
            let key = key(&node.domain, &node.op_type, &node.overload);
            let size = match (self.known.get(&key), self.functions.get(&key).copied()) {
                (Some(size), _) => *size,
                (None, Some(function)) => {
                    let inner = self.of(&function.node, depth + 1)?;
                    let size = Size { depth: inner.depth + 1, ..inner };
                    self.known.insert(key, size);
                    size
                }
                (None, None) => Size { nodes: 1, depth: 0 },
            };
            whole.nodes = whole.nodes.saturating_add(size.nodes);
            whole.depth = whole.depth.max(size.depth);
            if whole.nodes > MOST_NODES {
                return Err(too(&format!("they stand for more than {MOST_NODES} nodes")));
            }
            if depth + whole.depth > DEEPEST {
                return Err(too(&format!("they stand in one another more than {DEEPEST} deep")));
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str) -> NodeProto {
        NodeProto { op_type: Some(op_type.to_owned()), domain: Some("f".to_owned()), ..Default::default() }
    }

    /// A function of some calls of another.
    fn function(name: &str, calls: &str, count: usize) -> FunctionProto {
        FunctionProto {
            name: Some(name.to_owned()),
            domain: Some("f".to_owned()),
            node: vec![node(calls); count],
            ..Default::default()
        }
    }

    fn verdict(functions: &[FunctionProto]) -> Result<(), String> {
        let graph = GraphProto { node: vec![node("0")], ..Default::default() };
        check(functions, &graph).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_that_multiply_or_have_no_end_are_refused() {
        let chain = |length: usize, count: usize| -> Vec<FunctionProto> {
            (0..length).map(|n| function(&n.to_string(), &(n + 1).to_string(), count)).collect()
        };
        assert_eq!(verdict(&chain(30, 1)), Ok(()));
        assert_eq!(verdict(&chain(20, 2)), Ok(()), "a million");
        assert!(verdict(&chain(30, 2)).unwrap_err().contains("nodes"));
        assert!(verdict(&chain(9, 10)).unwrap_err().contains("nodes"), "10⁹");
        assert!(verdict(&chain(3000, 1)).unwrap_err().contains("deep"));
        assert!(verdict(&[function("0", "1", 1), function("1", "0", 1)]).unwrap_err().contains("deep"));
        assert!(verdict(&chain(5000, 1)).unwrap_err().contains("5000"));
        // The deepest one first: what is known of it counts for those around it.
        let mut backwards = chain(100, 1);
        backwards.reverse();
        assert!(verdict(&backwards).unwrap_err().contains("deep"));
    }
}
