//! The loops that decide how fast a job is. Plain Rust, compiled for several instruction sets; the best one that the
//! machine has is chosen at run time.
//!
//! Each kernel works on one row, reads the source elements from bytes, and has a twin in [`super::reference`]. Sums
//! run in a fixed number of lanes, so a result depends on the row alone.

mod absmax;
mod error;
mod quantize;

pub use absmax::absmax;
pub use error::error_stats;
pub use quantize::quantize;

/// The vector instructions in use on this machine, for the report.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw") {
            return "avx512";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "baseline"
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::{
        numeric::{DType, Element, ElementVisitor, SourceFloat},
        quant::{Granularity, Scheme, reference, scale_for},
    };

    fn bytes(format: crate::numeric::FloatFormat, seed: u32, len: usize) -> Vec<u8> {
        use crate::numeric::FloatFormat::{Bf16, F16, F32};
        let mut state = seed;
        (0..len)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let x = ((state >> 8) as f32 / 8_388_608.0 - 1.0).powi(3) * 3.0;
                match format {
                    F32 => x.to_le_bytes().to_vec(),
                    F16 => f16::from_f32(x).to_le_bytes().to_vec(),
                    Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
                }
            })
            .collect()
    }

    struct Twins<'a, S>(&'a [u8], std::marker::PhantomData<S>, DType);
    impl<S: SourceFloat> ElementVisitor for Twins<'_, S> {
        type Output = ();
        fn visit<E: Element>(self) {
            let row = reference::elements::<S>(self.0);
            for scheme in
                [Scheme::torchao(self.2, Granularity::PerTensor), Scheme::onnx(self.2, Granularity::PerTensor)]
            {
                let (codes, scale, stats) = reference::quantize_row::<S, E>(&row, &scheme).expect("finite");
                let amax = absmax::<S>(self.0).expect("finite");
                assert_eq!(scale, scale_for(amax, &scheme, S::FORMAT));
                let mut fast = vec![0; row.len()];
                quantize::<S, E>(self.0, scale, scheme.quotient, &mut fast);
                assert_eq!(fast, codes, "{} {:?}", E::SPEC.name, S::FORMAT);
                let ours = error_stats::<S, E>(self.0, &codes, scale);
                assert_eq!(
                    (ours.count, ours.clipped, ours.underflowed),
                    (stats.count, stats.clipped, stats.underflowed)
                );
                assert_eq!(ours.max_abs_error, stats.max_abs_error);
                for (a, b) in [(ours.signal, stats.signal), (ours.noise, stats.noise), (ours.dot, stats.dot)] {
                    assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn the_kernels_agree_with_the_reference_at_every_length() {
        fn run<S: SourceFloat>() {
            for (seed, len) in (0..70).chain([255, 256, 1000]).enumerate() {
                let bytes = bytes(S::FORMAT, seed as u32, len);
                for dtype in DType::ALL {
                    dtype.visit(Twins::<S>(&bytes, std::marker::PhantomData, dtype));
                }
            }
        }
        run::<f32>();
        run::<f16>();
        run::<bf16>();
    }

    #[test]
    fn a_value_that_is_not_finite_is_seen_wherever_it_stands() {
        for position in 0..67 {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut row = [1f32; 67];
                row[position] = bad;
                let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
                assert_eq!(absmax::<f32>(&bytes), None);
            }
        }
    }
}
