//! Shapes and views of tensors: checked sizes, no arithmetic on values.

mod channels;
mod shape;
mod view;

pub use channels::Channels;
pub use shape::{Shape, ShapeError};
pub use view::TensorView;
