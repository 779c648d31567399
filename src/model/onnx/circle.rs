//! A circle of nodes, each of which waits for the one before it.

use std::collections::{BTreeMap, HashMap};

use super::{node::for_each_read, proto::NodeProto};

/// A node that waits for its own output, if there is one. The nodes of a graph may stand in any order.
pub(super) fn on_circle<'n>(nodes: &[&'n NodeProto]) -> Option<&'n NodeProto> {
    let outputs = nodes.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |name| (&**name, at)));
    let producers: HashMap<&str, usize> = outputs.collect();
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut waits: BTreeMap<usize, usize> = BTreeMap::new();
    for (reader, node) in nodes.iter().enumerate() {
        for_each_read(node, &mut |name| {
            if let Some(&producer) = producers.get(name) {
                readers.entry(producer).or_default().push(reader);
                *waits.entry(reader).or_default() += 1;
            }
        });
    }
    let readers_of = |at: usize| readers.get(&at).into_iter().flatten().copied();
    let mut ready: Vec<usize> = (0..nodes.len()).filter(|at| !waits.contains_key(at)).collect();
    while let Some(at) = ready.pop() {
        for reader in readers_of(at) {
            let left = waits.get(&reader).copied().unwrap_or_default().saturating_sub(1);
            if left > 0 {
                waits.insert(reader, left);
            } else if waits.remove(&reader).is_some() {
                ready.push(reader);
            }
        }
    }
    // What still waits lies on a circle or behind one: going back from it leads onto the circle.
    let waiting = waits.keys().flat_map(|&at| readers_of(at).map(move |reader| (reader, at)));
    let before: BTreeMap<usize, usize> = waiting.filter(|(reader, _)| waits.contains_key(reader)).collect();
    let mut at = *waits.keys().next()?;
    for _ in 0..waits.len() {
        at = before.get(&at).copied().unwrap_or(at);
    }
    nodes.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(input: &str, output: &str) -> NodeProto {
        NodeProto { input: vec![input.to_owned()], output: vec![output.to_owned()], ..Default::default() }
    }

    #[test]
    fn any_order_is_fine_and_what_is_named_lies_on_the_circle() {
        let circle = [node("a", "b"), node("b", "c"), node("c", "a"), node("c", "behind"), node("x", "before")];
        let [a, b, c, behind, before] = &circle;
        assert_eq!(on_circle(&[behind, c, b, before]).map(|node| &node.output), None);
        let found = on_circle(&[behind, before, a, b, c]).map(|node| &node.output);
        assert!(found.is_some_and(|output| output != &behind.output && output != &before.output), "{found:?}");
        assert!(on_circle(&[&node("x", "x")]).is_some());
    }
}
