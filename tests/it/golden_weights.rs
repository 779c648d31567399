//! Weight quantization against torchao's, bit for bit.

use ptqd::{
    numeric::{DType, FloatFormat, ScaleFormat},
    quant::{Granularity, Scheme},
    tensor::Shape,
};

use crate::support::{Decode, Golden, quantize};

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
            for (kind, dtype, granularity) in [
                ("int8_row", DType::Int8, Granularity::PerChannel { axis: 0 }),
                ("int8_tensor", DType::Int8, Granularity::PerTensor),
                ("fp8_row", DType::Fp8E4m3fn, Granularity::PerChannel { axis: 0 }),
                ("fp8_tensor", DType::Fp8E4m3fn, Granularity::PerTensor),
            ] {
                let (our_codes, our_scales) = quantize(format, &shape, &data, &Scheme::torchao(dtype, granularity));
                let vector = |field: &str| format!("{prefix}.{case}.{kind}.{field}");
                let (codes, scales) = (golden.bytes(&vector("qdata")), golden.floats(&vector("scale")));
                assert_eq!(our_scales.len(), scales.len(), "{kind}");
                let columns = codes.len() / scales.len();
                for (row, scale) in scales.iter().enumerate() {
                    let range = row * columns..(row + 1) * columns;
                    if *scale == 0.0 {
                        // torchao's scale 0 decodes to NaN; ours decodes to zeros.
                        assert_eq!(dtype, DType::Fp8E4m3fn);
                        assert!(our_scales[row] > 0.0);
                        rows_left_out += 1;
                        continue;
                    }
                    assert_eq!(our_scales[row].to_bits(), scale.to_bits(), "{} row {row}", vector("scale"));
                    assert_eq!(our_codes[range.clone()], codes[range.clone()], "{} row {row}", vector("qdata"));
                    check_decoded(&golden, &vector("dequant"), format, range, &our_codes, dtype, *scale);
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
        let ours = ScaleFormat::from(format).round(decoded * scale);
        let unit = match format {
            FloatFormat::F32 => f32::EPSILON,
            FloatFormat::F16 => 2f32.powi(-10),
            FloatFormat::Bf16 => 2f32.powi(-7),
        };
        assert!(
            (ours - theirs).abs() <= unit * theirs.abs() + ScaleFormat::from(format).smallest_positive(),
            "{vector}[{i}]: {ours} {theirs}"
        );
    }
}

/// Signal to noise of codes against weights, in dB.
fn sqnr(weights: &[f32], decoded: impl Iterator<Item = f32>) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let noise: f64 = weights.iter().zip(decoded).map(|(&w, d)| square(w - d)).sum();
    10.0 * (weights.iter().map(|&w| square(w)).sum::<f64>() / noise).log10()
}

/// Scales bit for bit; the codes differ on purpose, since llm-compressor rounds the quotient to bf16 first and loses by it.
#[test]
fn scales_are_llm_compressors_and_codes_are_better() {
    let golden = Golden::open("llmcompressor_model_free.safetensors");
    let group = Granularity::PerGroup { axis: 1, size: 128 };
    let row = Granularity::PerChannel { axis: 0 };
    for layer in ["model.layers.0.mlp.down_proj", "model.layers.0.self_attn.k_proj"] {
        let name = format!("src.{layer}.weight");
        let shape = Shape::new(golden.dims(&name).to_vec()).unwrap();
        let columns = shape.dims()[1];
        let data = golden.bytes(&name);
        let weights: Vec<f32> =
            data.as_chunks::<2>().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect();
        for (preset, dtype, granularity) in [
            ("FP8_DYNAMIC", DType::Fp8E4m3fn, row),
            ("W8A8", DType::Int8, row),
            ("W8A16", DType::Int8, group),
            ("W4A16", DType::Int4, group),
        ] {
            let vector = |field: &str| format!("{preset}.{layer}.{field}");
            let scheme = Scheme::torchao(dtype, granularity);
            let (our_codes, our_scales) = quantize(FloatFormat::Bf16, &shape, &data, &scheme);
            let scales: Vec<f32> = golden
                .bytes(&vector("weight_scale"))
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| half::bf16::from_le_bytes(*b).to_f32())
                .collect();
            assert_eq!(our_scales, scales, "{}", vector("weight_scale"));
            let theirs: Vec<u8> = if granularity == group {
                let bits = dtype.spec().bits;
                let words = golden.bytes(&vector("weight_packed"));
                let code = |word: &[u8; 4], k: u32| {
                    let code = u32::from_le_bytes(*word) >> (k * bits) & ((1 << bits) - 1);
                    (code as i32 - (1 << (bits - 1))) as u8
                };
                words.as_chunks::<4>().0.iter().flat_map(|word| (0..32 / bits).map(move |k| code(word, k))).collect()
            } else {
                golden.bytes(&vector("weight")).into_owned()
            };
            let cell = columns / (scales.len() / shape.dims()[0]);
            let decoded = |codes: Vec<u8>| {
                let scales = &scales;
                codes.into_iter().enumerate().map(move |(i, code)| dtype.visit(Decode(code)) * scales[i / cell])
            };
            let (ours, theirs) = (sqnr(&weights, decoded(our_codes)), sqnr(&weights, decoded(theirs)));
            assert!(ours > theirs, "{}: {ours} dB, theirs {theirs} dB", vector("weight"));
        }
    }
}
