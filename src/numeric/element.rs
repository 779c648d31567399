//! [`Element`]: an element format with its arithmetic, and the facts that the rest of the code asks of each.

use super::packing::Packing;

/// The facts of one element format.
#[derive(Clone, Copy, Debug)]
pub struct DTypeSpec {
    /// The name in TAO Quant's vocabulary, which users type and reports print.
    pub name: &'static str,
    /// Other spellings accepted on input.
    pub aliases: &'static [&'static str],
    /// Bits per element in storage.
    pub bits: u32,
    /// How codes lie in a tensor that holds nothing else, as ONNX's `raw_data` does.
    pub packing: Packing,
    /// The groups of a weight's elements that may share a scale.
    pub groups: Groups,
    /// Whether codes are floats.
    pub float: bool,
    /// The most negative value of a code.
    pub min: f32,
    /// The largest finite value of a code.
    pub max: f32,
    /// The dtype string of a safetensors header; that of the words that hold the codes where a code is not a byte.
    pub safetensors: &'static str,
    /// ONNX's `TensorProto.DataType` number.
    pub onnx: i32,
    /// The first ONNX opset whose QuantizeLinear and DequantizeLinear take this type.
    pub onnx_opset: i64,
}

/// The groups that a weight is cut into along the axis that a product sums over, where it is cut into groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Elements of a group that users may ask for: those that the kernels of vLLM and TensorRT have.
    pub sizes: &'static [u64],
    /// Elements of a group where users do not say.
    pub default: usize,
    /// Whether weights are cut into groups without being asked: so few codes are too coarse for a whole row.
    pub required: bool,
}

impl Groups {
    /// Where a scale for each row is enough.
    pub const OPTIONAL: Groups = Groups { sizes: &[32, 64, 128], default: 128, required: false };
    /// Where it is not.
    pub const REQUIRED: Groups = Groups { required: true, ..Groups::OPTIONAL };
    /// Those of a microscaling format: blocks of 32, and no others.
    pub const MICROSCALED: Groups = Groups { sizes: &[32], default: 32, required: true };

    /// Whether the format has but one size, whatever is asked for.
    pub fn are_fixed(&self) -> bool {
        self.required && self.sizes.len() == 1
    }
}

/// One element format with its arithmetic; a zero-sized type, so that kernels are compiled for each.
pub trait Element: 'static + Send + Sync {
    /// The facts that [`DType::spec`](super::DType::spec) gives.
    const SPEC: DTypeSpec;
    /// The scaled values at or beyond which rounding would leave the range of the codes: at most the first, at least
    /// the second.
    const CLIPPED: (f32, f32);
    /// The code nearest to `x`, ties to even, saturating, and the number it stands for, both counted from a zero point:
    /// the code of 0 is `zero_point`. Formats of floats have none but 0. A NaN encodes as the format's NaN, or as its
    /// least code.
    fn quantize(x: f32, zero_point: i8) -> (u8, f32);
    /// The number that `code` stands for under zero point 0. A code narrower than a byte is sign-extended to one.
    fn decode(code: u8) -> f32;

    /// Whether `code` stands for 0.
    #[inline(always)]
    fn is_zero(code: u8, zero_point: i8) -> bool {
        if Self::SPEC.float { code & 0x7f == 0 } else { code == zero_point as u8 }
    }

    /// The code of `x` under zero point 0.
    #[inline(always)]
    fn encode(x: f32) -> u8 {
        Self::quantize(x, 0).0
    }
}

/// A computation that is generic over the element format; see `DType::visit`.
pub trait ElementVisitor {
    /// What the computation returns.
    type Output;
    /// Runs the computation for the format `E`.
    fn visit<E: Element>(self) -> Self::Output;
}
