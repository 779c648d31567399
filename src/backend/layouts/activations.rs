//! Activations that a runtime rounds as it runs: which weights they go with, and what compressed-tensors calls that.
//!
//! Nothing is computed of them here. A checkpoint says of each layer that its inputs are rounded too, each token or group
//! of it with a scale of its own, and vLLM and transformers do so. They have products for these combinations only.

use crate::{
    numeric::DType,
    quant::{Granularity, Scheme},
};

/// The dtypes that activations can have.
pub(in crate::backend) const DTYPES: [DType; 2] = [DType::Int8, DType::Fp8E4m3fn];

/// Weights with the activations that runtimes multiply them with.
#[derive(Debug)]
pub(in crate::backend) struct Combination {
    pub(super) weights: DType,
    /// Whether weights may share scales so.
    shares: fn(Granularity) -> bool,
    pub(super) activations: DType,
    /// `format` of compressed-tensors.
    pub(super) format: &'static str,
    /// Neighbours of a token that share a scale, where that is not the whole token.
    pub(super) group: Option<usize>,
    /// What it is, for those who asked for another.
    words: &'static str,
}

const BLOCK: usize = 128;

/// Weights are symmetric in all of them. Int4 codes beside int8 activations are not packed: vLLM takes them from bytes.
static COMBINATIONS: [Combination; 5] = [
    Combination {
        weights: DType::Fp8E4m3fn,
        shares: |granularity| matches!(granularity, Granularity::PerTensor | Granularity::PerChannel { .. }),
        activations: DType::Fp8E4m3fn,
        format: "float-quantized",
        group: None,
        words: "fp8 per row or per tensor with fp8",
    },
    Combination {
        weights: DType::Fp8E4m3fn,
        shares: |granularity| matches!(granularity, Granularity::PerBlock { rows: BLOCK, columns: BLOCK }),
        activations: DType::Fp8E4m3fn,
        format: "float-quantized",
        group: Some(BLOCK),
        words: "fp8 per block with fp8",
    },
    Combination {
        weights: DType::Int8,
        shares: |granularity| matches!(granularity, Granularity::PerChannel { .. }),
        activations: DType::Int8,
        format: "int-quantized",
        group: None,
        words: "int8 per row with int8",
    },
    Combination {
        weights: DType::Int4,
        shares: |granularity| matches!(granularity, Granularity::PerGroup { .. } | Granularity::PerChannel { .. }),
        activations: DType::Int8,
        format: "int-quantized",
        group: None,
        words: "int4 per group or per row with int8",
    },
    Combination {
        weights: DType::Int4,
        shares: |granularity| matches!(granularity, Granularity::PerGroup { size: BLOCK, .. }),
        activations: DType::Fp8E4m3fn,
        format: "pack-quantized",
        group: None,
        words: "int4 in groups of 128 with fp8",
    },
];

/// The combination of such weights and such activations, if runtimes have it.
pub(super) fn find(weights: &Scheme, activations: DType) -> Option<&'static Combination> {
    let fits = |row: &&Combination| row.weights == weights.dtype && row.activations == activations;
    let mut rows = COMBINATIONS.iter().filter(|_| !weights.rule.is_asymmetric()).filter(fits);
    rows.find(|row| (row.shares)(weights.granularity))
}

/// The combinations that there are, in words.
pub(super) fn words() -> String {
    COMBINATIONS.iter().map(|row| row.words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::layouts::testing::{PER_BLOCK, PER_GROUP, PER_ROW, PER_TENSOR, asymmetric, symmetric};

    const PER_128: Granularity = Granularity::PerGroup { axis: 1, size: 128 };

    #[test]
    fn weights_go_with_the_activations_that_runtimes_have_products_for() {
        let (int4, int8, fp8) = (DType::Int4, DType::Int8, DType::Fp8E4m3fn);
        for (weights, granularity, activations, expected) in [
            (fp8, PER_ROW, fp8, Some(("float-quantized", None))),
            (fp8, PER_TENSOR, fp8, Some(("float-quantized", None))),
            (fp8, PER_BLOCK, fp8, Some(("float-quantized", Some(128)))),
            (int8, PER_ROW, int8, Some(("int-quantized", None))),
            (int4, PER_GROUP, int8, Some(("int-quantized", None))),
            (int4, PER_ROW, int8, Some(("int-quantized", None))),
            (int4, PER_128, fp8, Some(("pack-quantized", None))),
            (int4, PER_GROUP, fp8, None),
            (int8, PER_GROUP, int8, None),
            (int8, PER_ROW, fp8, None),
            (fp8, PER_ROW, int8, None),
            (fp8, PER_GROUP, fp8, None),
            (DType::Fp8E5m2, PER_ROW, fp8, None),
        ] {
            let found = find(&symmetric(weights, granularity).scheme, activations).map(|row| (row.format, row.group));
            assert_eq!(found, expected, "{weights} {} {activations}", granularity.name());
        }
        assert!(find(&asymmetric(int8, PER_ROW).scheme, int8).is_none(), "zero points");
    }
}
