//! [`Array`]: one named array, read a few samples at a time.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use super::{DatasetError, images::Images};
use crate::tensor::Shape;

/// Values in row-major order. Floats of every width come as f32, integers and booleans as i64.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Elements of any float type, as f32.
    Float(Vec<f32>),
    /// Elements of any integer type or of booleans, as i64.
    Int(Vec<i64>),
}

/// A type of elements, as they lie in memory, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 binary16; read as f32.
    F16,
    /// The upper half of a binary32; read as f32.
    Bf16,
    /// IEEE 754 binary32, read as it is.
    F32,
    /// 64-bit float; read as f32.
    F64,
    /// A boolean, one to a byte.
    Bool,
    /// An integer of so many bytes.
    Int(u8),
    /// An unsigned integer of so many bytes.
    Unsigned(u8),
}

impl Element {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Element::Bool => 1,
            Element::F16 | Element::Bf16 => 2,
            Element::F32 => 4,
            Element::F64 => 8,
            Element::Int(bytes) | Element::Unsigned(bytes) => usize::from(bytes),
        }
    }

    /// Whether it is one of the floats.
    pub fn is_float(self) -> bool {
        matches!(self, Element::F16 | Element::Bf16 | Element::F32 | Element::F64)
    }

    fn decode(self, bytes: &[u8]) -> Values {
        fn all<const SIZE: usize, T>(bytes: &[u8], decode: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
            bytes.as_chunks::<SIZE>().0.iter().map(|&element| decode(element)).collect()
        }
        match self {
            Element::F16 => Values::Float(all(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
            Element::Bf16 => Values::Float(all(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
            Element::F32 => Values::Float(all(bytes, f32::from_le_bytes)),
            Element::F64 => Values::Float(all(bytes, |b| f64::from_le_bytes(b) as f32)),
            Element::Bool => Values::Int(all(bytes, |[b]: [u8; 1]| i64::from(b != 0))),
            Element::Int(1) => Values::Int(all(bytes, |b| i64::from(i8::from_le_bytes(b)))),
            Element::Int(2) => Values::Int(all(bytes, |b| i64::from(i16::from_le_bytes(b)))),
            Element::Int(4) => Values::Int(all(bytes, |b| i64::from(i32::from_le_bytes(b)))),
            Element::Int(_) => Values::Int(all(bytes, i64::from_le_bytes)),
            Element::Unsigned(1) => Values::Int(all(bytes, |b| i64::from(u8::from_le_bytes(b)))),
            Element::Unsigned(2) => Values::Int(all(bytes, |b| i64::from(u16::from_le_bytes(b)))),
            Element::Unsigned(_) => Values::Int(all(bytes, |b| i64::from(u32::from_le_bytes(b)))),
        }
    }
}

/// Where an array's values come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In a file from this offset on, read when they are asked for. Not mapped: pages that were touched would count as the
    /// process's memory, which is to be the same for any number of samples.
    File(Arc<File>, u64),
    /// In memory, where the file holds them compressed or in another order.
    Owned(Vec<u8>),
    /// The samples of several arrays, one after the other.
    Parts(Vec<Array>),
    /// Image files, one a sample, decoded when they are asked for.
    Images(Arc<Images>),
}

/// An array whose first axis counts samples.
#[derive(Clone, Debug)]
pub struct Array {
    shape: Shape,
    element: Element,
    source: Source,
}

impl Array {
    /// `None` if there are not as many bytes, or samples, as the shape says.
    pub(super) fn new(shape: Shape, element: Element, source: Source) -> Option<Self> {
        let expected = shape.bytes(8 * element.size())?;
        let fits = match &source {
            Source::File(file, offset) => offset.checked_add(expected as u64)? <= file.metadata().ok()?.len(),
            Source::Owned(bytes) => bytes.len() == expected,
            Source::Parts(parts) => {
                parts.iter().map(|part| part.samples().unwrap_or(0)).sum::<usize>() == *shape.dims().first()?
            }
            Source::Images(images) => images.len() == *shape.dims().first()?,
        };
        fits.then_some(Array { shape, element, source })
    }

    /// An array in memory; `None` if there are not as many values as the shape says.
    pub fn from_values(shape: Shape, values: &Values) -> Option<Self> {
        let (element, bytes) = match values {
            Values::Float(floats) => (Element::F32, floats.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Values::Int(integers) => (Element::Int(8), integers.iter().flat_map(|x| x.to_le_bytes()).collect()),
        };
        Array::new(shape, element, Source::Owned(bytes))
    }

    /// The array of images.
    pub(super) fn from_images(images: Images) -> Result<Self, DatasetError> {
        Array::new(images.shape()?, Element::F32, Source::Images(images.into())).ok_or(DatasetError::Empty)
    }

    /// The bytes of its values that are in memory.
    pub(super) fn owned_bytes(&self) -> u64 {
        match &self.source {
            Source::Owned(bytes) => bytes.len() as u64,
            _ => 0,
        }
    }

    /// The shape, samples first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The type of its elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Number of samples; `None` of a scalar.
    pub fn samples(&self) -> Option<usize> {
        self.shape.dims().first().copied()
    }

    /// The values of some samples; an error if one of them is NaN or infinite. `name` is for the error.
    pub fn read(&self, name: &str, samples: Range<usize>) -> Result<Values, DatasetError> {
        let values = self.read_all(name, samples.clone())?;
        if let Values::Float(floats) = &values
            && let Some(position) = floats.iter().position(|x| !x.is_finite())
        {
            let sample = samples.start + position / self.per_sample().max(1);
            return Err(DatasetError::NotFinite { array: name.to_owned(), sample });
        }
        Ok(values)
    }

    fn per_sample(&self) -> usize {
        self.shape.dims().iter().skip(1).product()
    }

    fn read_all(&self, name: &str, samples: Range<usize>) -> Result<Values, DatasetError> {
        let size = self.per_sample() * self.element.size();
        let inside = self.samples().is_some_and(|all| samples.start <= samples.end && samples.end <= all);
        let samples = if inside { samples } else { 0..0 };
        let range = samples.start * size..samples.end * size;
        Ok(match &self.source {
            Source::File(file, offset) => {
                let mut bytes = vec![0; range.len()];
                file.read_exact_at(&mut bytes, offset + range.start as u64)
                    .map_err(|e: io::Error| DatasetError::Corrupt { array: name.to_owned(), reason: e.to_string() })?;
                self.element.decode(&bytes)
            }
            Source::Owned(bytes) => self.element.decode(bytes.get(range).unwrap_or_default()),
            Source::Images(images) => Values::Float(images.read(samples)?),
            Source::Parts(parts) => {
                let mut all = if self.element.is_float() { Values::Float(vec![]) } else { Values::Int(vec![]) };
                let mut first = 0;
                for part in parts {
                    let end = first + part.samples().unwrap_or(0);
                    let own = samples.start.clamp(first, end) - first..samples.end.clamp(first, end) - first;
                    if !own.is_empty() {
                        match (&mut all, part.read_all(name, own)?) {
                            (Values::Float(all), Values::Float(more)) => all.extend(more),
                            (Values::Int(all), Values::Int(more)) => all.extend(more),
                            _ => {} // parts have one type of elements, as was checked when they were joined
                        }
                    }
                    first = end;
                }
                all
            }
        })
    }
}
