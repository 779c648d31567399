//! The rules that placements are made of, one file each.

pub(super) mod attention;
pub(super) mod concat;
pub(super) mod exclusions;
pub(super) mod pooling;
pub(super) mod product;
pub(super) mod residual;
