//! What is known of ONNX's own operators: one row each in `OPERATORS`, and nowhere else.

use super::{node::int_attribute, proto::NodeProto};

/// The facts about an operator.
#[derive(Clone, Copy, Debug)]
pub struct OpFacts {
    /// The operator's name: `op_type` of its nodes.
    pub name: &'static str,
    /// The fewest inputs that any version of it takes, empty ones among them counted.
    pub least_inputs: usize,
    /// The fewest outputs of any version.
    pub least_outputs: usize,
    /// Whether it passes values on as they are, moved, dropped or cut at zero: a range of its input holds for its output.
    pub copies: bool,
    /// Whether runtimes fuse it into the convolution before it.
    pub fuses: bool,
    /// Whether it may stand between the first product of an attention and its Softmax.
    pub before_softmax: bool,
    /// What its first output holds.
    pub result: ResultType,
    /// How many outputs, from the first on, are floats where the result is one.
    pub float_outputs: usize,
    /// Whether there is no form of it in f16, or none that keeps its meaning.
    pub stays_f32: bool,
    /// An input that is f32 whatever the operator computes in.
    pub f32_input: Option<usize>,
    /// Its weight, if it is a layer that computes with one.
    pub weight: Option<WeightFacts>,
}

/// The element type of an operator's first output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultType {
    /// Not told by the inputs alone.
    Unknown,
    /// That of an input.
    Like(usize),
    /// A float, whatever the inputs are.
    Float,
    /// No float of 16 bits or more, whatever the inputs are.
    NotFloat,
}

/// Which input of a layer is its weight.
#[derive(Clone, Copy, Debug)]
pub struct WeightFacts {
    /// The number of the input, from 0.
    pub input: usize,
    /// The axis of the output channels, by the node and the rank of its weight; `None` for a rank that the operator, or
    /// quantization, does not know.
    pub output_axis: fn(&NodeProto, rank: usize) -> Option<usize>,
}

impl OpFacts {
    /// The facts about an operator of ONNX's own; of one that is not in the table, that nothing is known of it.
    pub fn of(op_type: &str) -> &'static OpFacts {
        static UNKNOWN: OpFacts = op("", 0, 0);
        let found = OPERATORS.binary_search_by_key(&op_type, |facts| facts.name);
        found.ok().and_then(|at| OPERATORS.get(at)).unwrap_or(&UNKNOWN)
    }

    /// Whether an input stays f32 where the rest becomes f16.
    pub fn is_f32(&self, input: usize) -> bool {
        self.stays_f32 || self.f32_input == Some(input)
    }

    const fn like(mut self, input: usize) -> Self {
        self.result = ResultType::Like(input);
        self
    }

    const fn float(mut self) -> Self {
        self.result = ResultType::Float;
        self
    }

    const fn not_float(mut self) -> Self {
        self.result = ResultType::NotFloat;
        self
    }

    const fn float_outputs(mut self, count: usize) -> Self {
        self.float_outputs = count;
        self
    }

    const fn copies(mut self) -> Self {
        self.copies = true;
        self
    }

    const fn fuses(mut self) -> Self {
        self.fuses = true;
        self
    }

    const fn before_softmax(mut self) -> Self {
        self.before_softmax = true;
        self
    }

    const fn stays_f32(mut self) -> Self {
        self.stays_f32 = true;
        self
    }

    const fn f32_input(mut self, input: usize) -> Self {
        self.f32_input = Some(input);
        self
    }

    const fn weight(mut self, input: usize, output_axis: fn(&NodeProto, usize) -> Option<usize>) -> Self {
        self.weight = Some(WeightFacts { input, output_axis });
        self
    }
}

/// A row: what every operator has, and nothing else.
const fn op(name: &'static str, least_inputs: usize, least_outputs: usize) -> OpFacts {
    OpFacts {
        name,
        least_inputs,
        least_outputs,
        copies: false,
        fuses: false,
        before_softmax: false,
        result: ResultType::Unknown,
        float_outputs: usize::MAX,
        stays_f32: false,
        f32_input: None,
        weight: None,
    }
}

fn conv_axis(_: &NodeProto, rank: usize) -> Option<usize> {
    (rank >= 3).then_some(0)
}

fn conv_transpose_axis(_: &NodeProto, rank: usize) -> Option<usize> {
    (rank >= 3).then_some(1)
}

/// `transB` says that the weight is stored as PyTorch has it, output channels first.
fn gemm_axis(node: &NodeProto, rank: usize) -> Option<usize> {
    (rank == 2).then(|| usize::from(int_attribute(node, "transB").unwrap_or(0) == 0))
}

fn mat_mul_axis(_: &NodeProto, rank: usize) -> Option<usize> {
    (rank == 2).then_some(1)
}

/// Every operator of ONNX's own domain up to version 26, sorted by name. The numbers of inputs and outputs are the least of
/// all versions, from ONNX's own schemas.
static OPERATORS: [OpFacts; 203] = [
    op("Abs", 1, 1).like(0),
    op("Acos", 1, 1).like(0),
    op("Acosh", 1, 1).like(0),
    op("Add", 2, 1).like(0).before_softmax().fuses(),
    op("AffineGrid", 2, 1).like(0),
    op("And", 2, 1).not_float(),
    op("ArgMax", 1, 1).not_float(),
    op("ArgMin", 1, 1).not_float(),
    op("Asin", 1, 1).like(0),
    op("Asinh", 1, 1).like(0),
    op("Atan", 1, 1).like(0),
    op("Atanh", 1, 1).like(0),
    op("Attention", 3, 1).like(0),
    op("AveragePool", 1, 1).like(0),
    op("BatchNormalization", 5, 1).like(0).fuses(),
    op("Bernoulli", 1, 1).float().stays_f32(),
    op("BitCast", 1, 1),
    op("BitShift", 2, 1).not_float(),
    op("BitwiseAnd", 2, 1).not_float(),
    op("BitwiseNot", 1, 1).not_float(),
    op("BitwiseOr", 2, 1).not_float(),
    op("BitwiseXor", 2, 1).not_float(),
    op("BlackmanWindow", 1, 1),
    op("Cast", 1, 1).copies().before_softmax(),
    op("CastLike", 2, 1),
    op("CausalConvWithState", 2, 2).like(0),
    op("Ceil", 1, 1).like(0),
    op("Celu", 1, 1).like(0),
    op("CenterCropPad", 2, 1).like(0),
    op("Clip", 1, 1).like(0),
    op("Col2Im", 3, 1).like(0),
    op("Compress", 2, 1).like(0),
    op("Concat", 1, 1).like(0),
    op("ConcatFromSequence", 1, 1),
    op("Constant", 0, 1),
    op("ConstantOfShape", 1, 1),
    op("Conv", 2, 1).like(0).weight(1, conv_axis),
    op("ConvInteger", 2, 1).not_float(),
    op("ConvTranspose", 2, 1).like(0).weight(1, conv_transpose_axis),
    op("Cos", 1, 1).like(0),
    op("Cosh", 1, 1).like(0),
    op("CumProd", 2, 1).like(0),
    op("CumSum", 2, 1).like(0),
    op("DFT", 1, 1).like(0),
    op("DeformConv", 3, 1).like(0),
    op("DepthToSpace", 1, 1).like(0),
    op("DequantizeLinear", 2, 1),
    op("Det", 1, 1).like(0),
    op("Div", 2, 1).like(0).before_softmax(),
    op("Dropout", 1, 1).like(0).float_outputs(1).copies(),
    op("DynamicQuantizeLinear", 1, 3).not_float(),
    op("Einsum", 1, 1).like(0),
    op("Elu", 1, 1).like(0),
    op("Equal", 2, 1).not_float(),
    op("Erf", 1, 1).like(0),
    op("Exp", 1, 1).like(0),
    op("Expand", 2, 1).like(0),
    op("EyeLike", 1, 1).stays_f32(),
    op("Flatten", 1, 1).like(0).copies().before_softmax(),
    op("Floor", 1, 1).like(0),
    op("GRU", 3, 0).like(0),
    op("Gather", 2, 1).like(0),
    op("GatherElements", 2, 1).like(0),
    op("GatherND", 2, 1).like(0),
    op("Gelu", 1, 1).like(0),
    op("Gemm", 2, 1).like(0).weight(1, gemm_axis),
    op("GlobalAveragePool", 1, 1).like(0),
    op("GlobalLpPool", 1, 1).like(0),
    op("GlobalMaxPool", 1, 1).like(0),
    op("Greater", 2, 1).not_float(),
    op("GreaterOrEqual", 2, 1).not_float(),
    op("GridSample", 2, 1).like(0),
    op("GroupNormalization", 3, 1).like(0),
    op("HammingWindow", 1, 1),
    op("HannWindow", 1, 1),
    op("HardSigmoid", 1, 1).like(0),
    op("HardSwish", 1, 1).like(0),
    op("Hardmax", 1, 1).like(0),
    op("Identity", 1, 1).like(0).copies(),
    op("If", 1, 1),
    op("ImageDecoder", 1, 1).not_float(),
    op("InstanceNormalization", 3, 1).like(0),
    op("IsInf", 1, 1).not_float(),
    op("IsNaN", 1, 1).not_float(),
    op("LRN", 1, 1).like(0),
    op("LSTM", 3, 0).like(0),
    op("LayerNormalization", 2, 1).like(0),
    op("LeakyRelu", 1, 1).like(0),
    op("Less", 2, 1).not_float(),
    op("LessOrEqual", 2, 1).not_float(),
    op("LinearAttention", 3, 2).like(0),
    op("Log", 1, 1).like(0),
    op("LogSoftmax", 1, 1).like(0),
    op("Loop", 2, 1),
    op("LpNormalization", 1, 1).like(0),
    op("LpPool", 1, 1).like(0),
    op("MatMul", 2, 1).like(0).weight(1, mat_mul_axis),
    op("MatMulInteger", 2, 1).not_float(),
    op("Max", 1, 1).like(0),
    op("MaxPool", 1, 1).like(0).float_outputs(1).fuses(),
    op("MaxRoiPool", 2, 1).like(0),
    op("MaxUnpool", 2, 1).like(0),
    op("Mean", 1, 1).like(0),
    op("MeanVarianceNormalization", 1, 1).like(0),
    op("MelWeightMatrix", 5, 1),
    op("Min", 1, 1).like(0),
    op("Mish", 1, 1).like(0),
    op("Mod", 2, 1).like(0),
    op("Mul", 2, 1).like(0).before_softmax().fuses(),
    op("Multinomial", 1, 1).not_float().stays_f32(),
    op("Neg", 1, 1).like(0),
    op("NegativeLogLikelihoodLoss", 2, 1).like(0),
    op("NonMaxSuppression", 2, 1).not_float().stays_f32(),
    op("NonZero", 1, 1).not_float(),
    op("Not", 1, 1).not_float(),
    op("OneHot", 3, 1).like(2),
    op("Optional", 0, 1),
    op("OptionalGetElement", 1, 1),
    op("OptionalHasElement", 0, 1).not_float(),
    op("Or", 2, 1).not_float(),
    op("PRelu", 2, 1).like(0),
    op("Pad", 1, 1).like(0),
    op("Pow", 2, 1).like(0),
    op("QLinearConv", 8, 1).not_float(),
    op("QLinearMatMul", 8, 1),
    op("QuantizeLinear", 2, 1).not_float(),
    op("RMSNormalization", 2, 1),
    op("RNN", 3, 0).like(0),
    op("RandomNormal", 0, 1).float().stays_f32(),
    op("RandomNormalLike", 1, 1).float().stays_f32(),
    op("RandomUniform", 0, 1).float().stays_f32(),
    op("RandomUniformLike", 1, 1).float().stays_f32(),
    op("Range", 3, 1).like(0).stays_f32(),
    op("Reciprocal", 1, 1).like(0),
    op("ReduceL1", 1, 1).like(0),
    op("ReduceL2", 1, 1).like(0),
    op("ReduceLogSum", 1, 1).like(0),
    op("ReduceLogSumExp", 1, 1).like(0),
    op("ReduceMax", 1, 1).like(0),
    op("ReduceMean", 1, 1).like(0),
    op("ReduceMin", 1, 1).like(0),
    op("ReduceProd", 1, 1).like(0),
    op("ReduceSum", 1, 1).like(0),
    op("ReduceSumSquare", 1, 1).like(0),
    op("RegexFullMatch", 1, 1).not_float(),
    op("Relu", 1, 1).like(0).copies().fuses(),
    op("Reshape", 1, 1).like(0).copies().before_softmax(),
    op("Resize", 1, 1).like(0).f32_input(2),
    op("ReverseSequence", 2, 1).like(0),
    op("RoiAlign", 3, 1).like(0),
    op("RotaryEmbedding", 3, 1).like(0),
    op("Round", 1, 1).like(0),
    op("STFT", 2, 1).like(0).stays_f32(),
    op("Scan", 1, 1),
    op("Scatter", 3, 1).like(0),
    op("ScatterElements", 3, 1).like(0),
    op("ScatterND", 3, 1).like(0),
    op("Selu", 1, 1).like(0),
    op("SequenceAt", 2, 1),
    op("SequenceConstruct", 1, 1),
    op("SequenceEmpty", 0, 1),
    op("SequenceErase", 1, 1).like(0),
    op("SequenceInsert", 2, 1).like(0),
    op("SequenceLength", 1, 1).not_float(),
    op("SequenceMap", 1, 1).like(0),
    op("Shape", 1, 1).not_float(),
    op("Shrink", 1, 1).like(0),
    op("Sigmoid", 1, 1).like(0),
    op("Sign", 1, 1).like(0),
    op("Sin", 1, 1).like(0),
    op("Sinh", 1, 1).like(0),
    op("Size", 1, 1).not_float(),
    op("Slice", 1, 1).like(0).copies(),
    op("Softmax", 1, 1).like(0),
    op("SoftmaxCrossEntropyLoss", 2, 1).like(0),
    op("Softplus", 1, 1).like(0),
    op("Softsign", 1, 1).like(0),
    op("SpaceToDepth", 1, 1).like(0),
    op("Split", 1, 1).like(0),
    op("SplitToSequence", 1, 1),
    op("Sqrt", 1, 1).like(0),
    op("Squeeze", 1, 1).like(0).copies(),
    op("StringConcat", 2, 1).not_float(),
    op("StringNormalizer", 1, 1).not_float(),
    op("StringSplit", 1, 2).not_float(),
    op("Sub", 2, 1).like(0),
    op("Sum", 1, 1).like(0),
    op("SwiGLU", 2, 1).like(0),
    op("Swish", 1, 1).like(0),
    op("Tan", 1, 1).like(0),
    op("Tanh", 1, 1).like(0),
    op("TensorScatter", 2, 1).like(0),
    op("TfIdfVectorizer", 1, 1),
    op("ThresholdedRelu", 1, 1).like(0),
    op("Tile", 2, 1).like(0),
    op("TopK", 1, 2).like(0).float_outputs(1),
    op("Transpose", 1, 1).like(0).copies().before_softmax(),
    op("Trilu", 1, 1).like(0),
    op("Unique", 1, 1).like(0).float_outputs(1),
    op("Unsqueeze", 1, 1).like(0).copies().before_softmax(),
    op("Upsample", 1, 1).like(0).stays_f32(),
    op("Where", 3, 1).like(1).before_softmax(),
    op("Xor", 2, 1).not_float(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{attribute_int, new_node};

    #[test]
    fn operators_are_sorted_for_the_search() {
        assert!(OPERATORS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(OpFacts::of("Conv").name, "Conv");
        assert_eq!(OpFacts::of("Zip").least_inputs, 0);
    }

    #[test]
    fn the_axis_of_a_gemms_outputs_follows_trans_b() {
        let mut gemm = new_node("Gemm", "", vec![], "y");
        let axis = OpFacts::of("Gemm").weight.unwrap().output_axis;
        assert_eq!((axis(&gemm, 2), axis(&gemm, 3)), (Some(1), None));
        gemm.attribute.push(attribute_int("transB", 1));
        assert_eq!(axis(&gemm, 2), Some(0));
    }

    #[test]
    fn convolutions_have_filters_of_rank_three_or_more() {
        for (op, axis) in [("Conv", 0), ("ConvTranspose", 1)] {
            let of = OpFacts::of(op).weight.unwrap().output_axis;
            let node = new_node(op, "", vec![], "y");
            assert_eq!([2, 3, 4].map(|rank| of(&node, rank)), [None, Some(axis), Some(axis)]);
        }
    }
}
