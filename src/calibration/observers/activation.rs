//! [`Observer`]: whatever looks at activations.

/// A tensor on its way through a network, for some samples.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// Its values in row-major order.
    pub values: &'a [f32],
    /// Its shape, the batch first in most models; their product is the number of values.
    pub dims: &'a [usize],
}

/// Sees a tensor on its way through a network, once for each batch.
///
/// A range or a histogram looks at the values alone. What looks at channels, such as their largest magnitudes or the
/// products of each two of them, finds the axis by `dims`.
pub trait Observer: Send + 'static {
    /// Sees one batch of it.
    fn observe(&mut self, seen: Activation<'_>);
}
