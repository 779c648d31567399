//! Codes of a row where each column has a scale of its own.

use std::marker::PhantomData;

use super::{Isa, isa::Kernel};
use crate::{
    numeric::{Element, FloatFormat, SourceFloat},
    quant::{ErrorStats, QParams, Quotient},
};

const LANES: usize = 8;

/// Writes the code of every element of `row` to `codes`, and says what that costs.
///
/// # Panics
/// If there are not as many codes and parameters as the row has elements.
pub fn quantize_columns<S: SourceFloat, E: Element>(
    isa: Isa,
    row: &[u8],
    params: &[QParams],
    quotient: Quotient,
    codes: &mut [u8],
) -> ErrorStats {
    assert_eq!(row.len(), codes.len() * S::FORMAT.size(), "one code for each element");
    assert_eq!(params.len(), codes.len(), "one scale for each element");
    match S::FORMAT {
        FloatFormat::F32 => isa.run(Row::<S, E, 4> { row, params, quotient, codes, kinds: PhantomData }),
        FloatFormat::F16 | FloatFormat::Bf16 => {
            isa.run(Row::<S, E, 2> { row, params, quotient, codes, kinds: PhantomData })
        }
    }
}

struct Row<'a, S, E, const SIZE: usize> {
    row: &'a [u8],
    params: &'a [QParams],
    quotient: Quotient,
    codes: &'a mut [u8],
    kinds: PhantomData<(S, E)>,
}

impl<S: SourceFloat, E: Element, const SIZE: usize> Kernel for Row<'_, S, E, SIZE> {
    type Output = ErrorStats;
    #[inline(always)]
    fn run(self) -> ErrorStats {
        let Row { row, params, quotient, codes, .. } = self;
        let (mut signal, mut noise, mut decoded) = ([0f64; LANES], [0f64; LANES], [0f64; LANES]);
        let mut max_error = [0f64; LANES];
        let (mut clipped, mut underflowed) = (0u64, 0u64);
        let values = row.as_chunks::<SIZE>().0.chunks(LANES);
        for ((values, params), codes) in values.zip(params.chunks(LANES)).zip(codes.chunks_mut(LANES)) {
            for (lane, ((value, params), code)) in values.iter().zip(params).zip(codes).enumerate() {
                let x = S::read(value).to_f32();
                let scaled = match quotient {
                    Quotient::Division => x / params.scale,
                    Quotient::Reciprocal => x * (1.0 / params.scale),
                };
                let (c, number) = E::quantize(scaled, params.zero_point);
                *code = c;
                let zero = f32::from(params.zero_point);
                clipped += u64::from(scaled <= E::CLIPPED.0 - zero || scaled >= E::CLIPPED.1 - zero);
                underflowed += u64::from(scaled != 0.0 && number == 0.0);
                let (x, y) = (f64::from(x), f64::from(number) * f64::from(params.scale));
                signal[lane] += x * x;
                noise[lane] += (y - x) * (y - x);
                decoded[lane] += y * y;
                max_error[lane] = max_error[lane].max((y - x).abs());
            }
        }
        ErrorStats {
            count: codes.len() as u64,
            signal: signal.iter().sum(),
            noise: noise.iter().sum(),
            decoded: decoded.iter().sum(),
            max_abs_error: max_error.iter().fold(0.0, |a, &b| a.max(b)),
            clipped,
            underflowed,
        }
    }
}
