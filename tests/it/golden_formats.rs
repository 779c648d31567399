//! Microscaling formats against compressed-tensors', byte for byte.

use ptqd::{
    numeric::{DType, FloatFormat, Packing, ScaleFormat},
    quant::Scheme,
    tensor::Shape,
};

use crate::support::{Decode, Golden, quantize};

#[test]
fn codes_and_exponents_of_blocks_are_compressed_tensors() {
    let golden = Golden::open("compressed_tensors.safetensors");
    for (input, format) in [("f32", FloatFormat::F32), ("edge", FloatFormat::F32), ("bf16", FloatFormat::Bf16)] {
        let name = format!("input.{input}");
        let shape = Shape::new(golden.dims(&name).to_vec()).unwrap();
        let weights = golden.bytes(&name);
        for (dtype, codes) in [(DType::Mxfp4, "weight_packed"), (DType::Mxfp8, "weight")] {
            let theirs = |field: &str| golden.bytes(&format!("{dtype}.{input}.{field}"));
            let (ours, scales) = quantize(format, &shape, &weights, &Scheme::microscaled(dtype));
            let mut exponents = Vec::new();
            ScaleFormat::E8m0.encode(scales.iter().copied(), &mut exponents);
            assert!(exponents == *theirs("weight_scale"), "exponents of {dtype} {input}");
            let mut packed = Vec::new();
            let packing = if dtype == DType::Mxfp4 { Packing::Nibbles } else { Packing::Bytes };
            packing.pack(&ours, shape.dims()[1], &mut packed);
            assert!(packed == *theirs(codes), "codes of {dtype} {input}");
            let decoded = golden.has(&format!("{dtype}.{input}.dequant"));
            for (at, value) in
                decoded.then(|| golden.floats(&format!("{dtype}.{input}.dequant"))).into_iter().flatten().enumerate()
            {
                assert_eq!(dtype.visit(Decode(ours[at])) * scales[at / 32], value, "{dtype} {input} at {at}");
            }
        }
    }
}
