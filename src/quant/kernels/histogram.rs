//! Counting magnitudes into bins of equal width.

use super::{Isa, isa::Kernel};

/// Bins of a histogram.
pub const BINS: usize = 4096;

/// Values worked on at a time; their bins stay in the first-level cache.
const BLOCK: usize = 1024;
/// Tables of counts, used in turn: neighbours are often alike, and an addition has to wait for the one before it to the
/// same count.
const LANES: usize = 4;

/// What [`finite_min_max`] finds: the smallest and the largest finite value, and how many were not finite. The smallest is
/// above the largest where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FiniteMinMax {
    /// The smallest finite value.
    pub min: f32,
    /// The largest finite value.
    pub max: f32,
    /// Values that are NaN or infinite.
    pub not_finite: u64,
}

/// The range of the finite ones among `values`.
pub fn finite_min_max(isa: Isa, values: &[f32]) -> FiniteMinMax {
    // Few enough for counts of 32 bits.
    const FEW: usize = 1 << 24;
    let mut all = FiniteMinMax { min: f32::INFINITY, max: f32::NEG_INFINITY, not_finite: 0 };
    for part in values.chunks(FEW) {
        let (min, max, not_finite) = isa.run(Extremes(part));
        all.min = all.min.min(min);
        all.max = all.max.max(max);
        all.not_finite += u64::from(not_finite);
    }
    all
}

struct Extremes<'a>(&'a [f32]);

impl Kernel for Extremes<'_> {
    type Output = (f32, f32, u32);
    #[inline(always)]
    fn run(self) -> Self::Output {
        const WIDTH: usize = 32;
        let (mut min, mut max) = ([f32::INFINITY; WIDTH], [f32::NEG_INFINITY; WIDTH]);
        let mut bad = [0u32; WIDTH];
        let (blocks, rest) = self.0.as_chunks::<WIDTH>();
        for block in blocks {
            for lane in 0..WIDTH {
                let x = block[lane];
                let finite = x.abs() < f32::INFINITY;
                min[lane] = if finite & (x < min[lane]) { x } else { min[lane] };
                max[lane] = if finite & (x > max[lane]) { x } else { max[lane] };
                bad[lane] += u32::from(!finite);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            let finite = x.abs() < f32::INFINITY;
            min[lane] = if finite & (x < min[lane]) { x } else { min[lane] };
            max[lane] = if finite & (x > max[lane]) { x } else { max[lane] };
            bad[lane] += u32::from(!finite);
        }
        let min = min.into_iter().fold(f32::INFINITY, f32::min);
        (min, max.into_iter().fold(f32::NEG_INFINITY, f32::max), bad.into_iter().sum())
    }
}

/// Adds each magnitude `x` of `values` to the count of bin `⌊|x| · scale⌋`. Values that are NaN or reach beyond the last
/// bin are left out.
pub fn count_magnitudes(isa: Isa, values: &[f32], scale: f32, counts: &mut [u64; BINS]) {
    // Filling and adding up the tables costs as much as counting about as many values.
    if values.len() < LANES * BINS {
        in_blocks::<false>(isa, values, scale, |bins| bins.iter().for_each(|&bin| count(counts, bin, 1)));
        return;
    }
    for part in values.chunks(FEW) {
        add(counts, &tally::<UNSIGNED, false>(isa, part, scale));
    }
}

/// As [`count_magnitudes`], and adds those of values below 0 to `negative` too.
pub fn count_signed(isa: Isa, values: &[f32], scale: f32, counts: &mut [u64; BINS], negative: &mut [u64; BINS]) {
    if values.len() < LANES * BINS {
        in_blocks::<true>(isa, values, scale, |bins| {
            for &bin in bins {
                count(counts, bin & !BELOW, 1);
                // No branch: which way it went would be anybody's guess.
                count(negative, bin & !BELOW, u64::from(bin / BELOW));
            }
        });
        return;
    }
    for part in values.chunks(FEW) {
        let found = tally::<SIGNED, true>(isa, part, scale);
        let (above, below) = found.split_at(usize::from(BELOW));
        add(counts, above);
        add(counts, below);
        add(negative, below);
    }
}

/// What is counted in one go, so that 32 bits hold it.
const FEW: usize = 1 << 30;
/// Bins of a table: more than there are, for what is left out; a power of 2 that an index of 13 bits cannot pass.
const UNSIGNED: usize = 2 * BINS;
/// The same for values of 0 and above, then those below 0.
const SIGNED: usize = 2 * UNSIGNED;
/// The bit of a bin's number that says that the value is below 0.
const BELOW: u16 = UNSIGNED as u16;

fn count(counts: &mut [u64; BINS], bin: u16, number: u64) {
    if let Some(count) = counts.get_mut(usize::from(bin)) {
        *count += number;
    }
}

fn add(counts: &mut [u64; BINS], found: &[u32]) {
    counts.iter_mut().zip(found).for_each(|(count, &found)| *count += u64::from(found));
}

/// The counts of all numbers of bins below `LEN`, which is a power of 2 that none reaches.
fn tally<const LEN: usize, const SIGNS: bool>(isa: Isa, values: &[f32], scale: f32) -> Vec<u32> {
    let mut tables = vec![0u32; LEN * LANES];
    if let [a, b, c, d] = tables.as_chunks_mut::<LEN>().0 {
        in_blocks::<SIGNS>(isa, values, scale, |bins| {
            let mask = LEN - 1;
            let (fours, rest) = bins.as_chunks::<LANES>();
            for &[i, j, k, l] in fours {
                a[usize::from(i) & mask] += 1;
                b[usize::from(j) & mask] += 1;
                c[usize::from(k) & mask] += 1;
                d[usize::from(l) & mask] += 1;
            }
            for &i in rest {
                a[usize::from(i) & mask] += 1;
            }
        });
    }
    (0..LEN).map(|bin| tables.as_chunks::<LEN>().0.iter().map(|table| table[bin]).sum()).collect()
}

fn in_blocks<const SIGNS: bool>(isa: Isa, values: &[f32], scale: f32, mut each: impl FnMut(&[u16])) {
    let mut bins = [0u16; BLOCK];
    for block in values.chunks(BLOCK) {
        let bins = &mut bins[..block.len()];
        isa.run(ToBins::<SIGNS> { values: block, scale, bins });
        each(bins);
    }
}

/// The number of each value's bin; with `SIGNS`, [`BELOW`] is added to that of a value below 0.
struct ToBins<'a, const SIGNS: bool> {
    values: &'a [f32],
    scale: f32,
    bins: &'a mut [u16],
}

impl<const SIGNS: bool> Kernel for ToBins<'_, SIGNS> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (bin, &x) in self.bins.iter_mut().zip(self.values) {
            let scaled = x.abs() * self.scale;
            // Whatever is no bin, NaN too, becomes the first number that is none.
            let scaled = if scaled < BINS as f32 { scaled } else { BINS as f32 };
            // SAFETY: it lies between 0 and BINS, which an i32 holds; a checked cast keeps the loop from vectorizing.
            #[expect(unsafe_code, reason = "see SAFETY")]
            let number = unsafe { scaled.to_int_unchecked::<i32>() };
            let below = if SIGNS && x < 0.0 { i32::from(BELOW) } else { 0 };
            *bin = (number | below) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f32> {
        let mut state = 7u32;
        let mut values: Vec<f32> = (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / 8_388_608.0 - 1.0).powi(5) * 3.9
            })
            .collect();
        for (at, x) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 4.0, 1e30].into_iter().enumerate() {
            if let Some(value) = values.get_mut(at * 5) {
                *value = x;
            }
        }
        values
    }

    #[test]
    fn counts_are_those_of_a_plain_loop_on_every_instruction_set() {
        for len in [0, 1, 7, 33, 1025, 5000, 4 * BINS + 3] {
            let values = values(len);
            let scale = 1024.0;
            let mut expected = [0u64; BINS];
            for x in &values {
                let bin = (f64::from(x.abs()) * f64::from(scale)).floor();
                if bin < BINS as f64 {
                    expected[bin as usize] += 1;
                }
            }
            for isa in Isa::present() {
                let mut counts = [0; BINS];
                count_magnitudes(isa, &values, scale, &mut counts);
                assert!(counts == expected, "{isa:?} {len}");
                let (mut counts, mut negative) = ([0; BINS], [0; BINS]);
                count_signed(isa, &values, scale, &mut counts, &mut negative);
                assert!(counts == expected, "{isa:?} {len}");
                let below: Vec<f32> = values.iter().copied().filter(|&x| x < 0.0).collect();
                let mut expected = [0; BINS];
                count_magnitudes(isa, &below, scale, &mut expected);
                assert!(negative == expected, "{isa:?} {len}");
            }
        }
    }

    #[test]
    fn ranges_leave_out_what_is_not_finite() {
        for len in [0, 1, 31, 32, 33, 1000] {
            let values = values(len);
            let finite = || values.iter().copied().filter(|x| x.is_finite());
            let expected = FiniteMinMax {
                min: finite().fold(f32::INFINITY, f32::min),
                max: finite().fold(f32::NEG_INFINITY, f32::max),
                not_finite: (len - finite().count()) as u64,
            };
            for isa in Isa::present() {
                assert_eq!(finite_min_max(isa, &values), expected, "{isa:?} {len}");
            }
        }
    }
}
