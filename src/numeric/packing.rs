//! How codes lie in files: one to a byte, or several to a word.

/// How codes lie in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One code to a byte.
    Bytes,
    /// compressed-tensors' `pack-quantized`: code + 2^(bits−1), so never negative, in 32-bit words, the first code in the
    /// lowest bits, each row padded with zeros to whole words.
    Words {
        /// Bits of a code, 4 or 8.
        bits: u32,
    },
    /// ONNX's 4-bit tensors: two codes to a byte, the first in the lower half, rows not padded.
    Nibbles,
    /// onnxruntime's MatMulNBits: code + 2^(bits−1), so never negative, the first code in the lowest bits, each row padded
    /// with codes of 0 to whole blocks.
    Blocks {
        /// Bits of a code, 4 or 8.
        bits: u32,
        /// Codes of a block, whole bytes.
        size: usize,
    },
}

impl Packing {
    /// Codes that share a byte. A row of [`Packing::Nibbles`] must have whole bytes.
    pub const fn codes_per_byte(self) -> usize {
        match self {
            Packing::Bytes => 1,
            Packing::Words { bits } | Packing::Blocks { bits, .. } => 8 / bits as usize,
            Packing::Nibbles => 2,
        }
    }

    /// Bytes that `columns` codes of one row take. For [`Packing::Nibbles`] the columns are even.
    pub fn row_bytes(self, columns: usize) -> usize {
        match self {
            Packing::Bytes => columns,
            Packing::Words { bits } => columns.div_ceil(32 / bits as usize) * 4,
            Packing::Nibbles => columns.div_ceil(2),
            Packing::Blocks { size, .. } => columns.next_multiple_of(size.max(1)) / self.codes_per_byte(),
        }
    }

    /// Packs rows of `columns` codes into `out`, which is emptied first.
    pub fn pack(self, codes: &[u8], columns: usize, out: &mut Vec<u8>) {
        out.clear();
        for row in codes.chunks(columns.max(1)) {
            let end = out.len() + self.row_bytes(row.len());
            match self {
                Packing::Bytes => out.extend_from_slice(row),
                Packing::Words { bits: 8 } | Packing::Blocks { bits: 8, .. } => {
                    out.extend(row.iter().map(|code| code ^ 0x80))
                }
                Packing::Words { .. } | Packing::Blocks { .. } => {
                    out.extend(pairs(row).map(|[low, high]| (low & 15 | high << 4) ^ 0x88))
                }
                Packing::Nibbles => out.extend(pairs(row).map(|[low, high]| low & 15 | high << 4)),
            }
            if let (Packing::Words { bits: 4 }, Some(last)) = (self, out.last_mut().filter(|_| row.len() % 2 == 1)) {
                *last &= 15;
            }
            out.resize(end, self.padding());
        }
    }

    /// The bytes behind the last code of a row.
    fn padding(self) -> u8 {
        match self {
            Packing::Blocks { bits: 8, .. } => 0x80,
            Packing::Blocks { .. } => 0x88,
            Packing::Bytes | Packing::Words { .. } | Packing::Nibbles => 0,
        }
    }
}

fn pairs(row: &[u8]) -> impl Iterator<Item = [u8; 2]> {
    let (pairs, odd) = row.as_chunks::<2>();
    pairs.iter().copied().chain(odd.iter().map(|&last| [last, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word by word and bit by bit, as the format is described.
    fn words(codes: &[i8], bits: u32) -> Vec<u8> {
        let word = |chunk: &[i8]| {
            let at = |(k, &code): (usize, &i8)| ((i32::from(code) + (1 << (bits - 1))) as u32) << (k as u32 * bits);
            chunk.iter().enumerate().map(at).fold(0, |word, part| word | part).to_le_bytes()
        };
        codes.chunks(32 / bits as usize).flat_map(word).collect()
    }

    #[test]
    fn words_are_packed_as_described() {
        let codes: Vec<i8> = (0..23).map(|i| (i * 7 % 16) as i8 - 8).collect();
        for bits in [4, 8] {
            for columns in 1..=codes.len() {
                let rows: Vec<&[i8]> = codes.chunks_exact(columns).collect();
                let flat: Vec<u8> = rows.concat().iter().map(|&c| c as u8).collect();
                let expected: Vec<u8> = rows.iter().flat_map(|row| words(row, bits)).collect();
                let mut packed = Vec::new();
                Packing::Words { bits }.pack(&flat, columns, &mut packed);
                assert_eq!(packed, expected, "{bits} bits, {columns} columns");
            }
        }
    }

    #[test]
    fn nibbles_put_the_first_code_low() {
        let mut packed = Vec::new();
        Packing::Nibbles.pack(&[1, 0xf8, 7, 0xff], 2, &mut packed);
        assert_eq!(packed, [0x81, 0xf7]);
    }

    #[test]
    fn blocks_hold_codes_that_are_never_negative_and_end_with_zeros() {
        let codes = [-8i8, 7, 0, 1, -1].map(|code| code as u8);
        let mut packed = Vec::new();
        Packing::Blocks { bits: 4, size: 8 }.pack(&codes, 5, &mut packed);
        assert_eq!(packed, [0xf0, 0x98, 0x87, 0x88]);
        Packing::Blocks { bits: 8, size: 4 }.pack(&codes, 5, &mut packed);
        assert_eq!(packed, [120, 135, 128, 129, 127, 128, 128, 128]);
        Packing::Blocks { bits: 4, size: 2 }.pack(&codes[..3], 3, &mut packed);
        assert_eq!(packed, [0xf0, 0x88]);
        assert_eq!(Packing::Blocks { bits: 4, size: 32 }.row_bytes(33), 32);
    }
}
