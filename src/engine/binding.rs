//! [`Binding`]: which array of a data file goes to which input of a model, checked before the first forward pass.

use std::ops::Range;

use ort::value::{DynValue, Tensor, TensorElementType};

use super::{EngineError, failure::During};
use crate::dataset::{Array, Dataset, UNNAMED, Values};

/// An input of a model.
#[derive(Clone, Debug)]
pub struct InputInfo {
    /// Its name in the graph.
    pub name: String,
    /// The type of its elements, as the engine names it.
    pub element: TensorElementType,
    /// Its dimensions, batch first; −1 where dynamic.
    pub dims: Vec<i64>,
}

/// The engine's values for some samples, one for each input.
#[derive(Debug)]
pub struct Batch {
    /// The samples of the dataset that it holds, counted from 0.
    pub samples: Range<usize>,
    /// Name and value of each input.
    pub(super) inputs: Vec<(String, DynValue)>,
}

/// A dataset bound to a model's inputs.
#[derive(Debug)]
pub struct Binding<'a> {
    inputs: Vec<(InputInfo, &'a Array)>,
    samples: Range<usize>,
    batch: usize,
}

impl<'a> Binding<'a> {
    /// Finds an array for each input and checks type and shape. `wanted_batch` is used where the model leaves it open;
    /// only `samples` are used.
    pub fn new(
        inputs: &[InputInfo],
        data: &'a Dataset,
        wanted_batch: usize,
        samples: Range<usize>,
    ) -> Result<Self, EngineError> {
        let mut bound = Vec::new();
        let mut fixed = None;
        for input in inputs {
            let unnamed = data.arrays().get(UNNAMED).filter(|_| inputs.len() == 1);
            let array = data.arrays().get(&input.name).or(unnamed).ok_or_else(|| EngineError::MissingInput {
                input: input.name.clone(),
                available: data.arrays().keys().cloned().collect(),
            })?;
            check(input, array)?;
            fixed = fixed.or(input.dims.first().and_then(|&d| usize::try_from(d).ok()));
            bound.push((input.clone(), array));
        }
        let batch = fixed.unwrap_or(wanted_batch).max(1);
        let samples = samples.start..samples.end.min(data.samples());
        if fixed.is_some() && samples.len() < batch {
            return Err(EngineError::TooFewSamples { batch, samples: samples.len() });
        }
        Ok(Binding { inputs: bound, samples, batch })
    }

    /// Samples in use, those that fill no batch included.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Samples of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The batches. A rest too small for a model with a fixed batch is left out.
    pub fn batches(&self) -> Vec<Range<usize>> {
        let fixed = self.inputs.iter().any(|(input, _)| input.dims.first().is_some_and(|&d| d >= 0));
        (self.samples.clone())
            .step_by(self.batch)
            .map(|start| start..(start + self.batch).min(self.samples.end))
            .filter(|range| !fixed || range.len() == self.batch)
            .collect()
    }

    /// Reads these samples of every input's array, in the type that the input has.
    pub fn read(&self, samples: Range<usize>) -> Result<Batch, EngineError> {
        let one = |(input, array): &(InputInfo, &Array)| {
            Ok::<_, EngineError>((input.name.clone(), value(input, array, samples.clone())?))
        };
        Ok(Batch { inputs: self.inputs.iter().map(one).collect::<Result<_, _>>()?, samples })
    }
}

fn check(input: &InputInfo, array: &Array) -> Result<(), EngineError> {
    let found = array.shape().dims();
    let fits = input.dims.len() == found.len()
        && input.dims.iter().zip(found).skip(1).all(|(&want, &have)| want < 0 || want as usize == have);
    if !fits {
        let dims: Vec<String> =
            input.dims.iter().skip(1).map(|&d| if d < 0 { "?".to_owned() } else { d.to_string() }).collect();
        return Err(EngineError::WrongShape {
            input: input.name.clone(),
            found: found.iter().skip(1).copied().collect(),
            expected: format!("[{}]", dims.join(", ")),
        });
    }
    let wrong =
        |found| Err(EngineError::WrongType { input: input.name.clone(), found, expected: type_name(input.element) });
    match (input.element, array.element().is_float()) {
        (TensorElementType::Float32 | TensorElementType::Float16, true)
        | (TensorElementType::Int64 | TensorElementType::Int32 | TensorElementType::Bool, false) => Ok(()),
        (TensorElementType::Float32 | TensorElementType::Float16, false) => wrong("integers"),
        (TensorElementType::Int64 | TensorElementType::Int32 | TensorElementType::Bool, true) => wrong("floats"),
        (other, _) => Err(EngineError::InputUnsupported { input: input.name.clone(), found: type_name(other) }),
    }
}

fn type_name(element: TensorElementType) -> String {
    format!("{element:?}").to_lowercase()
}

fn value(input: &InputInfo, array: &Array, samples: Range<usize>) -> Result<DynValue, EngineError> {
    let shape: Vec<i64> = std::iter::once(samples.len())
        .chain(array.shape().dims().iter().skip(1).copied())
        .map(|d| i64::try_from(d).unwrap_or(i64::MAX))
        .collect();
    let failed = |e: ort::Error| During::Run.failed(&e);
    let out_of_range = |_| EngineError::WrongType {
        input: input.name.clone(),
        found: "integers beyond the input's range",
        expected: type_name(input.element),
    };
    Ok(match (array.read(&input.name, samples)?, input.element) {
        (Values::Float(v), TensorElementType::Float16) => {
            let halves: Vec<half::f16> = v.into_iter().map(half::f16::from_f32).collect();
            Tensor::from_array((shape, halves)).map_err(failed)?.into_dyn()
        }
        (Values::Float(v), _) => Tensor::from_array((shape, v)).map_err(failed)?.into_dyn(),
        (Values::Int(v), TensorElementType::Int32) => {
            let narrow = v.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>();
            Tensor::from_array((shape, narrow.map_err(out_of_range)?)).map_err(failed)?.into_dyn()
        }
        (Values::Int(v), TensorElementType::Bool) => {
            let bits: Vec<bool> = v.into_iter().map(|x| x != 0).collect();
            Tensor::from_array((shape, bits)).map_err(failed)?.into_dyn()
        }
        (Values::Int(v), _) => Tensor::from_array((shape, v)).map_err(failed)?.into_dyn(),
    })
}
