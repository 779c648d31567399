//! [`Reason`]: why a layer is quantized or is not.

use serde::{Deserialize, Serialize};

/// Why a layer got its decision. The names in snake case are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A rule asks for it.
    Rule,
    /// The last matching rule says `native`.
    RuleNative,
    /// `skip_names` matches it.
    Skipped,
    /// No rule matches it; unmatched layers stay as they are.
    Unmatched,
    /// The backend does not quantize this kind of layer.
    OpUnsupported,
    /// It is part of a branch or a loop, which is left as it is.
    InSubgraph,
    /// There is no weight that is constant.
    WeightNotConstant,
    /// It has no weight, and the rule asks for nothing else to be quantized.
    NoWeight,
    /// A convolution with too few channels to gain from it; name it to have it quantized.
    ChannelsTooFew,
    /// A convolution whose filter is too large for fp8; name it to have it quantized.
    FilterTooLarge,
    /// A product with a vector, which reading its operands bounds; name it to have it quantized.
    GemvLike,
    /// A product of an attention whose mask is added in between, which the runtime does not fuse.
    AttentionMasked,
    /// A product of an attention over more positions than the runtime fuses in int8.
    AttentionTooLong,
    /// An addition that the runtime does not fuse with a convolution.
    NotResidual,
    /// None of the layers next to it is quantized.
    NeighbourNotQuantized,
    /// The weight is not f32, f16 or bf16.
    DtypeUnsupported,
    /// The weight's shape is not one that the backend handles.
    ShapeUnsupported,
    /// The weight has no elements.
    Empty,
    /// A convolution under a bare `*`; name it to have it quantized.
    ConvolutionNotNamed,
    /// An embedding under a bare `*`; name it to have it quantized.
    EmbeddingNotNamed,
    /// An output head under a bare `*`; name it to have it quantized.
    HeadNotNamed,
    /// The router of a mixture of experts under a bare `*`; name it to have it quantized.
    RouterNotNamed,
    /// A matrix stored as `[in, out]`, whose rows are not output channels.
    Transposed,
    /// Groups or blocks do not divide the weight's columns.
    GroupRagged,
    /// The layout asked for has no place for such a weight.
    LayoutUnsupported,
    /// The same elements under another name, stored once under the first.
    Tied,
    /// The same elements as another layer, which the rules treat otherwise; both stay as they are.
    TiedToNative,
    /// Calibration saw no value of its input.
    NoCalibration,
    /// Calibration kept no histogram of its input, which the algorithm needs.
    NoHistogram,
    /// Its input was 0 for all calibration data, so there is no range.
    AmaxZero,
    /// Its input was NaN or infinite for some calibration data.
    NotFinite,
    /// It is quantized already.
    AlreadyQuantized,
}

impl Reason {
    /// The name in snake case.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
