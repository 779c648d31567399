//! [`Mutator`]: inputs that are nearly good.

/// Makes inputs of others. The same seed makes the same inputs.
pub struct Mutator {
    state: u64,
}

/// Lengths, counts and offsets that parsers stumble over.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x0000_0100_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// Words of the formats.
const WORDS: [&str; 20] = [
    "null",
    "true",
    "-1",
    "1e999",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "\\u0000",
    "\u{0}",
    "../",
    "file://",
    "re:",
    "*",
    "%00",
    "descr",
    "__metadata__",
    "data_offsets",
    "\u{feff}",
];
/// The longest input.
const LONGEST: usize = 1 << 20;

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Mutator { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// xorshift64* (S. Vigna, 2016).
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `most`; 0 if that is 0.
    fn below(&mut self, most: usize) -> usize {
        if most == 0 { 0 } else { (self.next() % most as u64) as usize }
    }

    /// A seed with one change or several.
    pub fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        // Headers decide: half of the changes are near the start.
        let reach = if self.next().is_multiple_of(2) { input.len().min(512) } else { input.len() };
        let at = self.below(reach + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => input.truncate(at),
            3 => {
                let width = [1, 2, 4, 8][self.below(4)];
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let end = (at + width).min(input.len());
                input.splice(at..end, number[..width].iter().copied());
            }
            4 => {
                let word = WORDS[self.below(WORDS.len())].bytes();
                input.splice(at..at, word);
            }
            5 => {
                let end = (at + self.below(64)).min(input.len());
                input.drain(at..end);
            }
            6 => {
                let end = (at + self.below(64)).min(input.len());
                let chunk = input[at..end].to_vec();
                let times = 1 + self.below(8);
                input.splice(at..at, chunk.repeat(times));
            }
            7 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let end = (from + self.below(256)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                // A digit for another.
                if let Some(digit) = input.iter_mut().skip(at).find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + (self.state % 10) as u8;
                }
            }
        }
    }
}
