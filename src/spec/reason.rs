//! [`Reason`]: why a layer is quantized or is not.

use crate::fault::codes;

codes! {
    /// Why a layer got its decision. The names in snake case are part of the API.
    pub enum Reason {
        /// A rule asks for it.
        Rule("rule", "Nothing: it is quantized.");
        /// The last matching rule says `native`.
        RuleNative("rule_native", "Change the rule, or put one that quantizes it behind.");
        /// `skip_names` matches it.
        Skipped("skipped", "Take it out of `skip_names`.");
        /// No rule matches it; unmatched layers stay as they are.
        Unmatched("unmatched", "Add a rule that matches its name.");
        /// The backend does not quantize this kind of layer.
        OpUnsupported("op_unsupported", "Nothing; `GET /v1/backends` tells which operators each backend quantizes.");
        /// It is part of a branch or a loop, which is left as it is.
        InSubgraph("in_subgraph", "Export the model without control flow, if that can be.");
        /// There is no weight that is constant.
        WeightNotConstant("weight_not_constant", "Store the weight as an initializer, or ask for activations to be quantized.");
        /// It has no weight, and the rule asks for nothing else to be quantized.
        NoWeight("no_weight", "Ask for `activations` too, if its inputs are to be quantized.");
        /// A convolution with too few channels to gain from it; name it to have it quantized.
        ChannelsTooFew("channels_too_few", "Name it without wildcards.");
        /// A convolution whose filter is too large for fp8; name it to have it quantized.
        FilterTooLarge("filter_too_large", "Name it without wildcards.");
        /// A product with a vector, which reading its operands bounds; name it to have it quantized.
        GemvLike("gemv_like", "Name it without wildcards.");
        /// A matrix product of fewer than 16 inputs or outputs, too small to gain from it; name it to have it quantized.
        MatrixTooSmall("matrix_too_small", "Name it without wildcards.");
        /// A product of an attention whose mask is added in between, which the runtime does not fuse.
        AttentionMasked("attention_masked", "Nothing, or another `placement`, if the model runs elsewhere.");
        /// A product of an attention over more positions than the runtime fuses in int8.
        AttentionTooLong("attention_too_long", "Use shorter sequences, or another `placement`, if the model runs elsewhere.");
        /// An addition that the runtime does not fuse with a convolution.
        NotResidual("not_residual", "Nothing: there would be nothing to gain.");
        /// One of its operands is a constant that codes do not stand for closely enough, or do not pay for.
        ConstantOperand("constant_operand", "Nothing: it is computed in floats.");
        /// What it gives is an output of the model, in floats.
        GivesAnOutput("gives_an_output", "Nothing: it is computed in floats.");
        /// No 32-bit code stands for its bias at a scale that its weights can have: it is infinite, or several layers share weights that are
        /// all but 0 beside it.
        BiasTooLarge("bias_too_large", "Look at the layer's bias; give it weights of its own if it shares them.");
        /// The runtime has no integer kernel for it.
        NoIntegerKernel("no_integer_kernel", "Nothing: it would be slower in codes; name it without wildcards to have it quantized.");
        /// Nothing computes it in codes whose scale is found as the model runs.
        NoDynamicKernel("no_dynamic_kernel", "Leave `dynamic` out and give calibration data, or leave the layer as it is: products with a constant matrix alone are computed so.");
        /// None of the layers next to it is quantized.
        NeighbourNotQuantized("neighbour_not_quantized", "Quantize a layer next to it.");
        /// The weight, or what the layer computes in, is of a type that the backend does not quantize: doubles, for example.
        DtypeUnsupported("dtype_unsupported", "Convert the model to f32, or the weight to f32, f16 or bf16.");
        /// The weight's shape is not one that the backend handles.
        ShapeUnsupported("shape_unsupported", "Nothing, or another backend.");
        /// The weight has no elements.
        Empty("empty", "Nothing: there is nothing to quantize.");
        /// A convolution under a bare `*`; name it to have it quantized.
        ConvolutionNotNamed("convolution_not_named", "Name it without a bare `*`.");
        /// An embedding under a bare `*`; name it to have it quantized.
        EmbeddingNotNamed("embedding_not_named", "Name it without a bare `*`.");
        /// An embedding table of a graph, which has a form in int8 alone.
        EmbeddingInt8Only("embedding_int8_only", "Give it a rule of its own whose weights are `int8`.");
        /// An output head under a bare `*`; name it to have it quantized.
        HeadNotNamed("head_not_named", "Name it without a bare `*`.");
        /// The router of a mixture of experts under a bare `*`; name it to have it quantized.
        RouterNotNamed("router_not_named", "Name it without a bare `*`.");
        /// A matrix stored as `[in, out]`, whose rows are not output channels.
        Transposed("transposed", "Choose a granularity that is not per channel, or store the matrix as `[out, in]`.");
        /// Groups or blocks do not divide the weight's columns.
        GroupRagged("group_ragged", "Choose a group size that divides the weight's columns.");
        /// The layout asked for has no place for such a weight.
        LayoutUnsupported("layout_unsupported", "Choose another `layout`.");
        /// The same elements under another name, stored once under the first.
        Tied("tied", "Nothing: the first name tells its decision.");
        /// The same elements as another layer, which the rules treat otherwise; both stay as they are.
        TiedToNative("tied_to_native", "Give both names the same rule.");
        /// Calibration saw no value of its input.
        NoCalibration("no_calibration", "Give samples that reach this part of the model.");
        /// Calibration kept no histogram of its input, which the algorithm needs.
        NoHistogram("no_histogram", "Choose `minmax`, or calibrate anew with the algorithm.");
        /// Its input was 0 for all calibration data, so there is no range.
        AmaxZero("amax_zero", "Give samples that reach this part of the model.");
        /// Its input was NaN or infinite for some calibration data.
        NotFinite("not_finite", "Find the sample that makes the model give NaN or an infinity, and repair or remove it.");
        /// It is quantized already.
        AlreadyQuantized("already_quantized", "Nothing, or quantize the model that it was made from.");
    }
}
