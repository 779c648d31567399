//! The loops that decide how fast a job is. Plain Rust, compiled for several instruction sets ([`Isa`]); callers take the
//! best one that the machine has.
//!
//! Each kernel works on one row, reads the source elements from bytes, and has a twin in [`super::reference`]. Sums
//! run in a fixed number of lanes, so a result depends on the row alone.

mod columns;
mod histogram;
mod isa;
mod min_max;
mod quantize;
mod tally;

pub use columns::quantize_columns;
pub use histogram::{BINS, FiniteMinMax, count_magnitudes, count_signed, finite_min_max};
pub use isa::Isa;
pub use min_max::{absmax, min_max, min_max_columns};
pub use quantize::quantize;

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::{
        numeric::{DType, Element, ElementVisitor, FloatFormat, SourceFloat},
        quant::{ErrorStats, Granularity, Grid, MinMax, ScaleRule, Scheme, reference},
    };

    fn bytes(format: FloatFormat, seed: u32, len: usize) -> Vec<u8> {
        let mut state = seed;
        (0..len)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let x = ((state >> 8) as f32 / 8_388_608.0 - 1.0).powi(3) * 3.0;
                match format {
                    FloatFormat::F32 => x.to_le_bytes().to_vec(),
                    FloatFormat::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
                    FloatFormat::Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
                }
            })
            .collect()
    }

    /// Sums of a few f32 steps against sums of f64: as near as f32 is, and what is counted exactly alike.
    fn same(fast: &ErrorStats, slow: &ErrorStats) {
        assert_eq!((fast.count, fast.clipped, fast.underflowed), (slow.count, slow.clipped, slow.underflowed));
        // The fast path works in units of the scale, where even an exact value is off by its last bit.
        let sums = [(fast.signal, slow.signal), (fast.noise, slow.noise), (fast.decoded, slow.decoded)];
        for (a, b) in sums {
            assert!((a - b).abs() <= 1e-4 * b + 1e-6 * (b * slow.signal).sqrt() + 1e-12 * slow.signal, "{a} {b}");
        }
        let (a, b) = (fast.max_abs_error, slow.max_abs_error);
        assert!((a - b).abs() <= 2e-5 * b + 1e-6 * slow.signal.sqrt(), "{a} {b}");
    }

    struct Twins<'a, S>(&'a [u8], std::marker::PhantomData<S>, DType, Isa);
    impl<S: SourceFloat> ElementVisitor for Twins<'_, S> {
        type Output = ();
        fn visit<E: Element>(self) {
            let isa = self.3;
            let row = reference::elements::<S>(self.0);
            let torchao = Scheme::torchao(self.2, Granularity::PerTensor);
            let mut schemes = vec![torchao, Scheme::onnx(self.2, Granularity::PerTensor)];
            if self.2.is_integer() {
                schemes.push(Scheme { rule: ScaleRule::RangeOverSteps, ..torchao });
            }
            let rowwise = Grid { rows: 1, columns: row.len().max(1), cell_rows: 1, cell_columns: row.len().max(1) };
            let columnwise = Grid { cell_columns: 1, ..rowwise };
            for scheme in schemes {
                let (codes, params, slow) =
                    reference::quantize_matrix::<S, E>(&row, &rowwise, &scheme).expect("finite");
                let symmetric = absmax::<S>(isa, self.0).expect("finite");
                let range = min_max::<S>(isa, self.0).expect("finite");
                assert_eq!(
                    Some(range).filter(|_| !row.is_empty()),
                    reference::min_max(&row).filter(|_| !row.is_empty())
                );
                assert_eq!(symmetric, range.amax());
                let mut fast = vec![0; row.len()];
                let stats = quantize::<S, E>(isa, self.0, params[0], scheme.quotient, &mut fast);
                assert_eq!(fast, codes, "{} {:?} {:?}", E::SPEC.name, S::FORMAT, scheme.rule);
                same(&stats, &slow);
                if row.is_empty() {
                    continue;
                }
                let (codes, params, slow) =
                    reference::quantize_matrix::<S, E>(&row, &columnwise, &scheme).expect("finite");
                let mut ranges = vec![MinMax::EMPTY; row.len()];
                assert!(min_max_columns::<S>(isa, self.0, &mut ranges));
                assert!(ranges.iter().zip(&row).all(|(e, x)| e.min == x.to_f32() && e.max == x.to_f32()));
                same(&quantize_columns::<S, E>(isa, self.0, &params, scheme.quotient, &mut fast), &slow);
                assert_eq!(fast, codes);
            }
        }
    }

    #[test]
    fn the_kernels_agree_with_the_reference_on_every_instruction_set_at_every_length() {
        fn run<S: SourceFloat>() {
            for (seed, len) in (0..70).chain([255, 256, 1000, 2100]).enumerate() {
                let bytes = bytes(S::FORMAT, seed as u32, len);
                for dtype in DType::ALL {
                    for isa in Isa::present() {
                        dtype.visit(Twins::<S>(&bytes, std::marker::PhantomData, dtype, isa));
                    }
                }
            }
        }
        run::<f32>();
        run::<f16>();
        run::<bf16>();
    }

    #[test]
    fn a_value_that_is_not_finite_is_seen_wherever_it_stands() {
        fn check<S: SourceFloat>(row: &[u8]) {
            for isa in Isa::present() {
                assert_eq!((absmax::<S>(isa, row), min_max::<S>(isa, row)), (None, None));
                assert!(!min_max_columns::<S>(isa, row, &mut [MinMax::EMPTY; 67]));
            }
        }
        for position in 0..67 {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut row = [1f32; 67];
                row[position] = bad;
                check::<f32>(&row.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
                check::<bf16>(&row.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect::<Vec<_>>());
                check::<f16>(&row.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect::<Vec<_>>());
            }
        }
    }
}
