//! OpenVINO on this machine's CPU, by what its safe bindings give: loading a library from a path, compiling a file, and
//! running it. What a compiled model consists of is not among it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use half::f16;
use openvino::{Core, DeviceType, ElementType, InferRequest, InferenceError, RwPropertyKey, Shape, Tensor};
use ort::value::{DynValue, PrimitiveTensorElementType};

use super::{Batch, Output};
use crate::control::Cancelled;

/// OpenVINO's runtime, for its CPU plugin.
pub struct OpenVino {
    core: Core,
    version: String,
}

/// A model that OpenVINO has compiled.
pub struct OpenVinoModel(InferRequest);

/// Why OpenVINO does not run a model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum OpenVinoError {
    /// The library is not there or is not one that fits.
    #[error("OpenVINO cannot be loaded from {library}: {reason}", library = library.display())]
    Library { library: PathBuf, reason: String },
    /// It is loaded, and fails.
    #[error("OpenVINO fails: {reason}")]
    Fails { reason: String },
    /// An input that this version cannot feed.
    #[error("input `{input}` cannot be fed to OpenVINO")]
    Input { input: String },
    /// The job was stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl OpenVino {
    /// Loads the library, the first time in this process, and sets how models run: on so many threads, and in f32 where they
    /// say f32, which else is bf16 on a CPU that has it.
    pub fn load(library: &Path, threads: usize) -> Result<Self, OpenVinoError> {
        let failed = |reason| OpenVinoError::Library { library: library.to_owned(), reason };
        guarded(|| {
            openvino_sys::library::load_from(library).map_err(failed)?;
            let mut core = Core::new().map_err(|error| failed(error.to_string()))?;
            let settings = [
                (RwPropertyKey::InferenceNumThreads, threads.to_string()),
                (RwPropertyKey::HintInferencePrecision, "f32".to_owned()),
                (RwPropertyKey::HintPerformanceMode, "LATENCY".to_owned()),
                // A confined process may not choose its processors.
                (RwPropertyKey::HintEnableCpuPinning, "NO".to_owned()),
            ];
            for (key, value) in settings {
                core.set_property(&DeviceType::CPU, &key, &value)?;
            }
            let version = openvino::version().parts().take(3).collect::<Vec<_>>().join(".");
            Ok(OpenVino { core, version })
        })
    }

    /// The library's version, such as `2026.4.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Compiles a model's file, and what lies beside it.
    pub fn compile(&mut self, model: &Path) -> Result<OpenVinoModel, OpenVinoError> {
        let failed = || OpenVinoError::Fails { reason: format!("{} is no text", model.display()) };
        let path = model.to_str().ok_or_else(failed)?;
        guarded(|| {
            let read = self.core.read_model_from_file(path, "")?;
            let mut compiled = self.core.compile_model(&read, DeviceType::CPU)?;
            Ok(OpenVinoModel(compiled.create_infer_request()?))
        })
    }
}

impl OpenVinoModel {
    /// Gives the model what the next runs are for.
    pub fn bind(&mut self, batch: &Batch) -> Result<(), OpenVinoError> {
        guarded(|| {
            for (input, value) in &batch.inputs {
                let unfit = || OpenVinoError::Input { input: input.clone() };
                let tensor = tensor(value).filter(|_| !input.contains('\0')).ok_or_else(unfit)??;
                self.0.set_tensor(input, &tensor)?;
            }
            Ok(())
        })
    }

    /// Runs the model; its outputs stay where they are.
    pub fn run(&mut self) -> Result<(), OpenVinoError> {
        guarded(|| Ok(self.0.infer()?))
    }

    /// What the last run gave, as onnxruntime's outputs of these names: values in f32, and none where OpenVINO has another type.
    pub fn outputs(&self, names: &[Output]) -> Result<Vec<Output>, OpenVinoError> {
        let read = |index: usize| -> Result<Vec<f32>, InferenceError> {
            let tensor = self.0.get_output_tensor_by_index(index)?;
            let is_f32 = tensor.get_element_type()? == ElementType::F32 && tensor.get_size()? > 0;
            if is_f32 { Ok(tensor.get_data::<f32>()?.to_vec()) } else { Ok(Vec::new()) }
        };
        guarded(|| {
            let named = names.iter().enumerate();
            named.map(|(index, output)| Ok(Output { name: output.name.clone(), values: read(index)? })).collect()
        })
    }
}

/// What the bindings do of which they panic: a library without one of the functions, or with a version of another form.
fn guarded<T>(work: impl FnOnce() -> Result<T, OpenVinoError>) -> Result<T, OpenVinoError> {
    let lacking =
        |_| OpenVinoError::Fails { reason: "the library is no OpenVINO of version 2025.1 or later".to_owned() };
    catch_unwind(AssertUnwindSafe(work)).map_err(lacking)?
}

/// The same values for OpenVINO, if they are of a type that data files have.
fn tensor(value: &DynValue) -> Option<Result<Tensor, InferenceError>> {
    of::<f32>(value, ElementType::F32)
        .or_else(|| of::<f16>(value, ElementType::F16))
        .or_else(|| of::<i64>(value, ElementType::I64))
        .or_else(|| of::<i32>(value, ElementType::I32))
        .or_else(|| of::<bool>(value, ElementType::Boolean))
}

fn of<T: PrimitiveTensorElementType + Copy>(
    value: &DynValue,
    element: ElementType,
) -> Option<Result<Tensor, InferenceError>> {
    let (dims, values) = value.try_extract_tensor::<T>().ok()?;
    // Of nothing, the bindings would make a slice at no address.
    (!values.is_empty()).then(|| {
        let mut tensor = Tensor::new(element, &Shape::new(dims)?)?;
        tensor.get_data_mut::<T>()?.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        Ok(tensor)
    })
}

impl From<InferenceError> for OpenVinoError {
    /// With the last line of what OpenVINO says, before which it names the lines of its own source.
    fn from(error: InferenceError) -> Self {
        let said = error.message.as_deref().and_then(|said| said.lines().map(str::trim).rfind(|line| !line.is_empty()));
        let reason = said.map_or_else(|| error.kind.to_string(), str::to_owned);
        OpenVinoError::Fails { reason }
    }
}

impl std::fmt::Debug for OpenVino {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenVino").field("version", &self.version).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OpenVinoModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenVinoModel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_openvino_says_the_last_line_is_told() {
        let message = "Exception from src/core.cpp:109:\nCheck 'ok' failed\n  the opset is too new\n\n".to_owned();
        let kind = openvino::InferenceErrorKind::GeneralError;
        let error = OpenVinoError::from(InferenceError { kind: kind.clone(), message: Some(message) });
        assert_eq!(error.to_string(), "OpenVINO fails: the opset is too new");
        let error = OpenVinoError::from(InferenceError { kind, message: None });
        assert_eq!(error.to_string(), "OpenVINO fails: general error");
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error_that_names_it() {
        let error = OpenVino::load(Path::new("/nonexistent/libopenvino_c.so"), 1).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("OpenVINO cannot be loaded from /nonexistent/libopenvino_c.so: "), "{said}");
    }

    #[test]
    fn a_panic_of_the_bindings_is_an_error() {
        let panicking = || -> Result<(), OpenVinoError> { panic!("`openvino_c` function not loaded") };
        assert!(matches!(guarded(panicking), Err(OpenVinoError::Fails { .. })));
    }
}
