//! What the parts of a graph are called inside the program.

/// A node. It stays the same node while its graph is edited, and in a copy of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) usize);

/// A tensor, of the main graph or one that only a branch or loop in it knows. Stays the same like a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub(super) usize);

/// One use of a tensor: the node that reads it, and as which of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Use {
    /// The node that reads the tensor.
    pub node: NodeId,
    /// Which of its inputs, counted from 0.
    pub input: usize,
}
