//! The golden vectors of `tests/golden`, by name.

use std::{borrow::Cow, path::Path};

use ptqd::model::{
    checkpoint::{Checkpoint, Shard, TensorInfo},
    safetensors::open,
};

/// A file of golden vectors.
pub struct Golden(Checkpoint);

impl Golden {
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        Golden(open(&path).expect("a golden file"))
    }

    fn find(&self, name: &str) -> (&Shard, &TensorInfo) {
        self.0.tensors().find(|(_, tensor)| tensor.name == name).unwrap_or_else(|| panic!("no golden vector {name}"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.tensors().any(|(_, tensor)| tensor.name == name)
    }

    pub fn bytes(&self, name: &str) -> Cow<'_, [u8]> {
        let (shard, tensor) = self.find(name);
        shard.bytes(tensor)
    }

    pub fn dims(&self, name: &str) -> &[usize] {
        self.find(name).1.shape.dims()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.bytes(name).as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}
