//! Shapes and views of tensors: checked sizes, no arithmetic on values.

mod channels;
mod mapped;
mod shape;
mod view;

pub use channels::Channels;
pub use mapped::Mapped;
pub use shape::{Shape, ShapeError};
pub use view::TensorView;
