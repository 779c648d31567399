//! A pickle machine that builds containers, numbers, strings and tensors, and nothing else.
//!
//! Python's pickle is a program that may call any function. This one knows the opcodes that `torch.save` writes and a
//! fixed list of globals, all of them data; the first opcode or global beyond that ends the reading with its name.
//! Nothing is imported, called or executed. Every length is checked against what is left before it is used.

use std::{collections::BTreeMap, rc::Rc};

use safetensors::Dtype;

/// Why a pickle cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each field is")]
pub enum PickleError {
    /// It ends in the middle of something.
    #[error("the pickle ends too early")]
    Truncated,
    /// An opcode that is not one of those allowed.
    #[error("opcode {opcode:#04x} at byte {at} is not allowed")]
    Opcode { opcode: u8, at: usize },
    /// A global that is not one of those allowed.
    #[error("the pickle asks for `{module}.{name}`, which is not allowed")]
    Global {
        module: String,
        /// The name in it.
        name: String,
    },
    /// An opcode finds something else on the stack than it needs.
    #[error("at byte {at} the pickle has no {expected}")]
    Unexpected {
        /// Where the opcode stands.
        at: usize,
        /// What should have been there.
        expected: &'static str,
    },
}

impl PickleError {
    /// Whether it was read well enough but asks for what is not allowed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, PickleError::Opcode { .. } | PickleError::Global { .. })
    }
}

/// A tensor as a pickle describes it.
#[derive(Debug, PartialEq)]
pub(super) struct PickledTensor {
    pub(super) dtype: Dtype,
    /// The name of its storage in the archive.
    pub(super) storage: String,
    /// Elements before the first one.
    pub(super) offset: usize,
    pub(super) dims: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What stands on the stack.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// A tuple, list or dict, by its position in [`Pickled::containers`].
    Container(usize),
    Global(Known),
    Storage(Dtype, Rc<str>),
    Tensor(Rc<PickledTensor>),
    Mark,
}

/// A tuple, list or dict.
#[derive(Clone, Debug)]
pub(super) enum Container {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
}

/// A pickle that was read. Containers lie side by side and refer to each other by position, so however deep they nest,
/// and even in circles, nothing recurses to free them.
#[derive(Debug)]
pub(super) struct Pickled {
    pub(super) root: Value,
    pub(super) containers: Vec<Container>,
}

/// The globals that are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(Dtype),
}

fn known(module: &str, name: &str) -> Result<Known, PickleError> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Known::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Known::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Known::RebuildParameter,
        ("torch", "Size") => Known::Size,
        ("torch", "DoubleStorage") => Known::Storage(Dtype::F64),
        ("torch", "FloatStorage") => Known::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Known::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Known::Storage(Dtype::BF16),
        ("torch", "LongStorage") => Known::Storage(Dtype::I64),
        ("torch", "IntStorage") => Known::Storage(Dtype::I32),
        ("torch", "ShortStorage") => Known::Storage(Dtype::I16),
        ("torch", "CharStorage") => Known::Storage(Dtype::I8),
        ("torch", "ByteStorage") => Known::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Known::Storage(Dtype::BOOL),
        _ => return Err(PickleError::Global { module: module.to_owned(), name: name.to_owned() }),
    })
}

/// Reads a pickle to its end.
pub(super) fn read(bytes: &[u8]) -> Result<Pickled, PickleError> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: BTreeMap::new(), containers: Vec::new() };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickled { root, containers: machine.containers });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: BTreeMap<u32, Value>,
    containers: Vec<Container>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(count).ok_or(PickleError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(PickleError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// A little-endian number of `count` bytes, at most 8.
    fn number(&mut self, count: usize) -> Result<u64, PickleError> {
        Ok(self.take(count)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Truncated)?;
        let line = self.take(end)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| self.unexpected("UTF-8"))
    }

    fn text(&mut self, length: u64) -> Result<Value, PickleError> {
        let length = usize::try_from(length).map_err(|_| PickleError::Truncated)?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.unexpected("UTF-8"))?;
        Ok(Value::Text(text.into()))
    }

    fn unexpected(&self, expected: &'static str) -> PickleError {
        PickleError::Unexpected { at: self.at, expected }
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        match self.stack.pop() {
            Some(Value::Mark) | None => Err(self.unexpected("value")),
            Some(value) => Ok(value),
        }
    }

    /// Everything above the last mark, which goes too.
    fn marked(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let values = self.stack.split_off(mark.ok_or_else(|| self.unexpected("mark"))? + 1);
        self.stack.pop();
        Ok(values)
    }

    fn contain(&mut self, container: Container) -> Value {
        self.containers.push(container);
        Value::Container(self.containers.len() - 1)
    }

    fn tuple(&mut self, count: usize) -> Result<Value, PickleError> {
        let first = self.stack.len().checked_sub(count).ok_or_else(|| self.unexpected("value"))?;
        let values = self.stack.split_off(first);
        Ok(self.contain(Container::Tuple(values)))
    }

    /// The container on top of the stack.
    fn top(&mut self) -> Option<&mut Container> {
        match self.stack.last() {
            Some(&Value::Container(at)) => self.containers.get_mut(at),
            _ => None,
        }
    }

    fn tuple_of(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::Container(at) => match self.containers.get(*at) {
                Some(Container::Tuple(values)) => Some(values),
                _ => None,
            },
            _ => None,
        }
    }

    fn memoize(&mut self, key: u64) -> Result<(), PickleError> {
        let value = self.stack.last().cloned().ok_or_else(|| self.unexpected("value"))?;
        self.memo.insert(u32::try_from(key).map_err(|_| self.unexpected("small key"))?, value);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<Value, PickleError> {
        let found = u32::try_from(key).ok().and_then(|key| self.memo.get(&key).cloned());
        found.ok_or_else(|| self.unexpected("value remembered"))
    }

    fn set_items(&mut self, pairs: &[Value]) -> Result<(), PickleError> {
        let (pairs, odd) = pairs.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(self.unexpected("value for a key"));
        }
        match self.top() {
            Some(Container::Dict(dict)) => dict.extend(pairs.iter().map(|[key, value]| (key.clone(), value.clone()))),
            _ => return Err(self.unexpected("dict")),
        }
        Ok(())
    }

    fn append(&mut self, values: Vec<Value>) -> Result<(), PickleError> {
        match self.top() {
            Some(Container::List(list)) => list.extend(values),
            _ => return Err(self.unexpected("list")),
        }
        Ok(())
    }

    /// Runs one opcode; the value that the pickle is, at its end.
    fn step(&mut self) -> Result<Option<Value>, PickleError> {
        let at = self.at;
        let opcode = self.number(1)? as u8;
        let value = match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => return self.take(1).map(|_| None),
            0x95 => return self.take(8).map(|_| None),
            b'(' => Value::Mark,
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'G' => self.take(8).map(|_| Value::Float)?,
            b'X' => self.number(4).and_then(|length| self.text(length))?,
            0x8c => self.number(1).and_then(|length| self.text(length))?,
            0x8d => self.number(8).and_then(|length| self.text(length))?,
            b'}' => self.contain(Container::Dict(Vec::new())),
            b']' => self.contain(Container::List(Vec::new())),
            b')' => self.tuple(0)?,
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84))?,
            b't' => {
                let values = self.marked()?;
                self.contain(Container::Tuple(values))
            }
            b'q' => return self.number(1).and_then(|key| self.memoize(key)).map(|()| None),
            b'r' => return self.number(4).and_then(|key| self.memoize(key)).map(|()| None),
            0x94 => return self.memoize(self.memo.len() as u64).map(|()| None),
            b'h' => self.number(1).and_then(|key| self.recall(key))?,
            b'j' => self.number(4).and_then(|key| self.recall(key))?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set_items(&[key, value]).map(|()| None);
            }
            b'u' => return self.marked().and_then(|pairs| self.set_items(&pairs)).map(|()| None),
            b'a' => return self.pop().and_then(|value| self.append(vec![value])).map(|()| None),
            b'e' => return self.marked().and_then(|values| self.append(values)).map(|()| None),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Global(known(module, name)?)
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => Value::Global(known(&module, &name)?),
                _ => return Err(self.unexpected("name of a global")),
            },
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => {
                // The state of an OrderedDict is its `_metadata`; tensors and parameters have none that matters here.
                self.pop()?;
                return Ok(None);
            }
            _ => return Err(PickleError::Opcode { opcode, at }),
        };
        self.stack.push(value);
        Ok(None)
    }

    fn long(&mut self) -> Result<Value, PickleError> {
        let length = self.number(1)? as usize;
        if length > 8 {
            return Err(self.unexpected("integer of 64 bits"));
        }
        let unsigned = self.number(length)?;
        let unused = 64 - 8 * length as u32;
        let signed = if length == 0 { 0 } else { ((unsigned << unused) as i64) >> unused };
        Ok(Value::Int(signed))
    }

    /// `("storage", type, key, location, elements)`, torch's only persistent id.
    fn persistent(&mut self) -> Result<Value, PickleError> {
        let id = self.pop()?;
        if let Some([Value::Text(kind), Value::Global(Known::Storage(dtype)), Value::Text(key), ..]) =
            self.tuple_of(&id)
            && &**kind == "storage"
        {
            return Ok(Value::Storage(*dtype, Rc::clone(key)));
        }
        Err(self.unexpected("storage"))
    }

    fn reduce(&mut self) -> Result<Value, PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Some(arguments), Value::Global(function)) = (self.tuple_of(&arguments), function) else {
            return Err(self.unexpected("function that is allowed"));
        };
        match (function, arguments) {
            (Known::OrderedDict, []) => Ok(self.contain(Container::Dict(Vec::new()))),
            (Known::Size, [size]) => Ok(size.clone()),
            (Known::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            (Known::RebuildTensor, [Value::Storage(dtype, key), Value::Int(offset), dims, strides, ..]) => {
                let offset = usize::try_from(*offset).map_err(|_| self.unexpected("offset"))?;
                let (dims, strides) = (self.sizes(dims)?, self.sizes(strides)?);
                if dims.len() != strides.len() {
                    return Err(self.unexpected("stride for each dimension"));
                }
                let tensor = PickledTensor { dtype: *dtype, storage: key.to_string(), offset, dims, strides };
                Ok(Value::Tensor(Rc::new(tensor)))
            }
            _ => Err(self.unexpected("arguments that the function takes")),
        }
    }

    fn sizes(&self, value: &Value) -> Result<Vec<usize>, PickleError> {
        let values = self.tuple_of(value).ok_or_else(|| self.unexpected("tuple of sizes"))?;
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).map_err(|_| self.unexpected("size")),
            _ => Err(self.unexpected("size")),
        };
        values.iter().map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_run_code_is_refused_by_name() {
        let system = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
        let refused = PickleError::Global { module: "os".into(), name: "system".into() };
        assert_eq!(read(system).unwrap_err(), refused);
        let stacked = b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.";
        assert!(matches!(read(stacked), Err(PickleError::Global { .. })));
        // INST, OBJ, NEWOBJ, EXT1 and the text opcodes of protocol 0.
        for opcode in [b'i', b'o', 0x81, 0x92, 0x82, b'S', b'I', b'F', b'P', 0x97, 0x98] {
            assert_eq!(read(&[0x80, 2, opcode]).unwrap_err(), PickleError::Opcode { opcode, at: 2 });
        }
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let cases: [&[u8]; 14] = [
            b"",
            b".",
            b"\x80",
            b"t.",
            b"s.",
            b"Nu.",
            b"(Ne.",
            b"h\x07.",
            b"X\xff\xff\xff\xff.",
            b"\x8a\x09.",
            b"R.",
            b")R.",
            b"Q.",
            b"b.",
        ];
        for case in cases {
            assert!(read(case).is_err(), "{case:?}");
        }
        let mut state = 7u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"\x80.()}]NKMJ\x8aXqhtusaecRQb\x85\x86\x87\x94\x93\x8c\x00\x01\x02"[(state >> 8) as usize % 32]
                })
                .collect();
            let _ = read(&bytes);
        }
    }

    #[test]
    fn deep_and_circular_containers_are_freed_without_recursion() {
        let depth = 1_000_000;
        let nested = [&vec![b']'; depth][..], &vec![b'a'; depth - 1], b"."].concat();
        assert_eq!(read(&nested).unwrap().containers.len(), depth);
        assert!(read(b"]q\x00h\x00a.").is_ok());
    }

    #[test]
    fn numbers_of_every_width() {
        for (bytes, expected) in [
            (&b"\x8a\x00."[..], 0),
            (b"\x8a\x01\xff.", -1),
            (b"\x8a\x02\xff\x00.", 255),
            (b"J\xfe\xff\xff\xff.", -2),
            (b"M\x00\x01.", 256),
        ] {
            assert!(
                matches!(read(bytes).map(|read| read.root), Ok(Value::Int(found)) if found == expected),
                "{bytes:?}"
            );
        }
    }
}
