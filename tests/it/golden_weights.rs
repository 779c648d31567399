//! Weight quantization against torchao's, bit for bit.

use ptqd::{
    numeric::{DType, Element, ElementVisitor, FloatFormat},
    quant::{Granularity, Scheme, quantize},
    tensor::{Shape, TensorView},
};

use crate::support::Golden;

struct Decode(u8);
impl ElementVisitor for Decode {
    type Output = f32;
    fn visit<E: Element>(self) -> f32 {
        E::decode(self.0)
    }
}

#[test]
fn codes_scales_and_decoded_weights_are_torchaos() {
    let golden = Golden::open("torchao_weight_only.safetensors");
    let formats = [("f32", FloatFormat::F32), ("bf16", FloatFormat::Bf16), ("f16", FloatFormat::F16)];
    let (mut rows_checked, mut rows_left_out) = (0, 0);
    for (prefix, format) in formats {
        for case in ["normal", "outlier", "edge", "ties"] {
            let name = format!("{prefix}.{case}.weight");
            let shape = Shape::new(golden.dims(&name).to_vec()).unwrap();
            let data = golden.bytes(&name);
            let view = TensorView::new(format, &shape, &data).unwrap();
            for (kind, dtype, granularity) in [
                ("int8_row", DType::Int8, Granularity::PerChannel { axis: 0 }),
                ("int8_tensor", DType::Int8, Granularity::PerTensor),
                ("fp8_row", DType::Fp8E4m3fn, Granularity::PerChannel { axis: 0 }),
                ("fp8_tensor", DType::Fp8E4m3fn, Granularity::PerTensor),
            ] {
                let ours = quantize(view, &Scheme::torchao(dtype, granularity)).unwrap();
                let vector = |field: &str| format!("{prefix}.{case}.{kind}.{field}");
                let (codes, scales) = (golden.bytes(&vector("qdata")), golden.floats(&vector("scale")));
                assert_eq!(ours.scales().len(), scales.len(), "{kind}");
                let columns = codes.len() / scales.len();
                for (row, scale) in scales.iter().enumerate() {
                    let range = row * columns..(row + 1) * columns;
                    if *scale == 0.0 {
                        // torchao's scale 0 decodes to NaN; ours decodes to zeros.
                        assert_eq!(dtype, DType::Fp8E4m3fn);
                        assert!(ours.scales()[row] > 0.0);
                        rows_left_out += 1;
                        continue;
                    }
                    assert_eq!(ours.scales()[row].to_bits(), scale.to_bits(), "{} row {row}", vector("scale"));
                    assert_eq!(ours.codes[range.clone()], codes[range.clone()], "{} row {row}", vector("qdata"));
                    check_decoded(&golden, &vector("dequant"), format, range, &ours.codes, dtype, *scale);
                    rows_checked += 1;
                }
            }
        }
    }
    assert_eq!((rows_checked, rows_left_out), (571, 5));
}

fn check_decoded(
    golden: &Golden,
    vector: &str,
    format: FloatFormat,
    range: std::ops::Range<usize>,
    codes: &[u8],
    dtype: DType,
    scale: f32,
) {
    let theirs = &golden.bytes(vector)[range.start * format.size()..range.end * format.size()];
    for (i, theirs) in range.zip(theirs.chunks_exact(format.size())) {
        let theirs = match format {
            FloatFormat::F32 => f32::from_le_bytes(theirs.try_into().unwrap()),
            FloatFormat::F16 => half::f16::from_le_bytes(theirs.try_into().unwrap()).to_f32(),
            FloatFormat::Bf16 => half::bf16::from_le_bytes(theirs.try_into().unwrap()).to_f32(),
        };
        let decoded = dtype.visit(Decode(codes[i]));
        // torchao multiplies in the weight's format, after rounding the scale to it; both orders of rounding agree to
        // one unit in the last place of that format.
        let ours = format.round(decoded * scale);
        let unit = match format {
            FloatFormat::F32 => f32::EPSILON,
            FloatFormat::F16 => 2f32.powi(-10),
            FloatFormat::Bf16 => 2f32.powi(-7),
        };
        assert!(
            (ours - theirs).abs() <= unit * theirs.abs() + format.smallest_positive(),
            "{vector}[{i}]: {ours} {theirs}"
        );
    }
}
