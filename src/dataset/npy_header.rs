//! NumPy's `.npy`: the header, a Python dictionary of three fixed keys.
//!
//! Our own reader: the maintained library multiplies a header's dimensions unchecked and brings a parser of the whole
//! literal grammar with big numbers.

use std::io::{self, Read};

/// The order of the bytes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

/// What stands before the elements.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// NumPy's name of the element type, whole.
    pub(super) descr: String,
    /// The same without the byte order: a letter and a size in bytes, `f4`.
    pub(super) kind: String,
    pub(super) endian: Endian,
    /// Whether the first axis varies fastest.
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
}

impl Header {
    /// Reads magic, version, length and dictionary (NEP 1), and leaves the reader at the first element.
    pub(super) fn read(reader: &mut impl Read) -> io::Result<Self> {
        // As numpy itself limits what it parses.
        const LONGEST: usize = 10_000;
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its header has {what}"));
        let mut prefix = [0; 8];
        reader.read_exact(&mut prefix)?;
        if &prefix[..6] != b"\x93NUMPY" {
            return Err(invalid("another magic number than NumPy's"));
        }
        let length = match prefix[6] {
            1 => {
                let mut length = [0; 2];
                reader.read_exact(&mut length)?;
                usize::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                reader.read_exact(&mut length)?;
                u32::from_le_bytes(length) as usize
            }
            _ => return Err(invalid("an unknown version")),
        };
        if length > LONGEST {
            return Err(invalid("more than 10,000 bytes"));
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        let text = std::str::from_utf8(&text).map_err(|_| invalid("bytes that are not text"))?;
        let (descr, fortran, shape) = dictionary(text).ok_or_else(|| invalid("no readable dictionary"))?;
        let (endian, kind) = match descr.split_at_checked(1) {
            Some(("<" | "|" | "=", kind)) => (Endian::Little, kind),
            Some((">", kind)) => (Endian::Big, kind),
            _ => (Endian::Little, descr),
        };
        Ok(Header { descr: descr.to_owned(), kind: kind.to_owned(), endian, fortran, shape })
    }
}

/// The three values of the dictionary, whatever their order. `descr` of a structured type is its text.
fn dictionary(text: &str) -> Option<(&str, bool, Vec<usize>)> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" if value.starts_with('[') => {
                let end = value.rfind(']')?;
                descr = Some(&value[..=end]);
                &value[end + 1..]
            }
            "descr" => {
                let (text, after) = quoted(value)?;
                descr = Some(text);
                after
            }
            "fortran_order" => {
                fortran = Some(value.starts_with("True"));
                value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?
            }
            "shape" => {
                let (inner, after) = value.strip_prefix('(')?.split_once(')')?;
                let dims = inner.split(',').map(str::trim).filter(|dim| !dim.is_empty());
                shape = Some(dims.map(|dim| dim.parse().ok()).collect::<Option<Vec<usize>>>()?);
                after
            }
            _ => return None,
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some((descr?, fortran?, shape?))
}

/// A quoted text and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: u8, dictionary: &str) -> io::Result<Header> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((dictionary.len() as u16).to_le_bytes()),
            _ => bytes.extend((dictionary.len() as u32).to_le_bytes()),
        }
        bytes.extend(dictionary.as_bytes());
        Header::read(&mut bytes.as_slice())
    }

    #[test]
    fn the_keys_may_come_in_any_order() {
        let header = read(2, "{\"shape\": (3,), 'fortran_order': True,'descr':'>i8' }\n").unwrap();
        assert_eq!((header.kind.as_str(), header.endian, header.fortran), ("i8", Endian::Big, true));
        assert_eq!(header.shape, [3]);
        assert!(read(1, "{'descr': '|b1', 'fortran_order': False, 'shape': ()}").unwrap().shape.is_empty());
        let structured = read(3, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2)}").unwrap();
        assert_eq!(structured.kind, "[('a', '<f4')]");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}",
            "{'descr: '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'x': 1}",
            "{",
        ] {
            assert!(read(1, text).is_err(), "{text}");
        }
        assert!(read(9, "{}").is_err());
        assert!(read(1, &" ".repeat(10_001)).is_err());
        assert!(Header::read(&mut &b"\x93NUMPY\x01\x00\xff\xff{"[..]).is_err());
    }
}
