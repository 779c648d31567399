//! QuantizeLinear, DequantizeLinear and weight quantization against onnxruntime's.

use std::path::Path;

use ptqd::{
    model::onnx::{Model, constant},
    numeric::{DType, Element, ElementVisitor},
    quant::{
        Granularity, QParams, Quotient, Scheme,
        kernels::{self, Isa},
    },
};

use crate::support::{Golden, quantize};

struct Case<'a> {
    golden: &'a Golden,
    name: &'a str,
}

impl ElementVisitor for Case<'_> {
    type Output = ();

    fn visit<E: Element>(self) {
        let vector = |field: &str| format!("{}.{field}", self.name);
        let (x, scales) = (self.golden.floats(&vector("x")), self.golden.floats(&vector("scale")));
        let (q, y) = (self.golden.bytes(&vector("q")), self.golden.floats(&vector("y")));
        let zero_points =
            if self.golden.has(&vector("zp")) { self.golden.bytes(&vector("zp")) } else { Default::default() };
        let columns = x.len() / scales.len();
        for (row, &scale) in scales.iter().enumerate() {
            // A float format's zero point is code 0.
            let zero_point = zero_points.get(row).map_or(0, |&zero| zero as i8);
            let range = row * columns..(row + 1) * columns;
            let bytes: Vec<u8> = x[range.clone()].iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut codes = vec![0; columns];
            let params = QParams { scale, zero_point };
            kernels::quantize::<f32, E>(Isa::best(), &bytes, params, Quotient::Division, &mut codes);
            for (i, &code) in range.zip(&codes) {
                let both_nan = E::decode(code).is_nan() && E::decode(q[i]).is_nan();
                assert!(code == q[i] || both_nan, "{}[{i}]: {} gives {code:#04x}, not {:#04x}", self.name, x[i], q[i]);
                let decoded = (E::decode(code) - f32::from(zero_point)) * scale;
                assert!(decoded == y[i] || (decoded.is_nan() && y[i].is_nan()), "{}[{i}]", self.name);
            }
        }
    }
}

#[test]
fn quantize_and_dequantize_linear_are_onnxruntimes() {
    let golden = Golden::open("ort_qdq.safetensors");
    for (name, dtype) in [
        ("int8_axis0_sym", DType::Int8),
        ("int8_axis0_asym", DType::Int8),
        ("int8_per_tensor", DType::Int8),
        ("int4_blocked_axis1_bs16_nozp", DType::Int4),
        ("int4_blocked_axis1_bs16_zp", DType::Int4),
        ("fp8_e4m3fn_axis0_sat1", DType::Fp8E4m3fn),
        ("fp8_e4m3fn_per_tensor_sat1", DType::Fp8E4m3fn),
        ("fp8_e5m2_axis0_sat1", DType::Fp8E5m2),
        ("fp8_e5m2_per_tensor_sat1", DType::Fp8E5m2),
    ] {
        dtype.visit(Case { golden: &golden, name });
    }
}

#[test]
fn per_channel_weights_are_onnxruntimes() {
    let golden = Golden::open("ort_qdq.safetensors");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ort_matmul_1op.onnx");
    let model = Model::read(&path).unwrap();
    let graph = model.graph();
    let matmul = graph.nodes().find(|node| graph.op(*node) == Some("MatMul")).unwrap();
    let weight = constant(graph, graph.input(matmul, 1).unwrap()).unwrap().unwrap();
    let scheme = Scheme::onnx(DType::Int8, Granularity::PerChannel { axis: 1 });
    let bytes = weight.read(0..weight.shape.elements() * weight.format.size());
    let (codes, scales) = quantize(weight.format, &weight.shape, &bytes, &scheme);
    assert_eq!(codes, *golden.bytes("weight.w_quantized"));
    assert_eq!(scales, golden.floats("weight.w_scale"));
}
