//! [`DType`], the closed list of quantized element formats.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::{
    element::{DTypeSpec, Element, ElementVisitor},
    fp4, fp8, int,
};

/// [`DType`], its list and its one `match`, from rows: a format stands in one place. A row names the [`Element`] that has
/// the format's facts and arithmetic.
macro_rules! dtypes {
    ($($(#[$row:meta])+ $dtype:ident => $element:ty,)+) => {
        /// A quantized element format. `native` is not one of them: it is the decision not to quantize.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DType {
            $($(#[$row])+ $dtype,)+
        }

        impl DType {
            /// Every format, in the order in which they are listed to users.
            pub const ALL: [DType; [$(DType::$dtype),+].len()] = [$(DType::$dtype),+];

            /// Runs `visitor` for this format. The one place where a format is told from another.
            pub fn visit<V: ElementVisitor>(self, visitor: V) -> V::Output {
                match self {
                    $(DType::$dtype => visitor.visit::<$element>(),)+
                }
            }
        }
    };
}

dtypes! {
    /// Signed 8-bit integer, two's complement.
    Int8 => int::Int8,
    /// Signed 4-bit integer, two's complement; weights only, a scale for each group.
    Int4 => int::Int4,
    /// 8-bit float, 4 exponent and 3 mantissa bits, finite values and NaN only, largest 448.
    Fp8E4m3fn => fp8::E4m3fn,
    /// 8-bit float, 5 exponent and 2 mantissa bits, with infinities, largest 57,344.
    Fp8E5m2 => fp8::E5m2,
    /// 4-bit float E2M1, largest 6, in blocks of 32 that share a power of 2; weights only.
    Mxfp4 => fp4::Mxfp4,
    /// 8-bit float E4M3FN in blocks of 32 that share a power of 2; weights only.
    Mxfp8 => fp8::Mxfp8,
}

/// A name that no element format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a dtype")]
pub struct UnknownDType {
    /// The name as it was given.
    pub name: String,
}

impl DType {
    /// Whether codes are integers, which may have a zero point.
    pub fn is_integer(self) -> bool {
        !self.spec().float
    }

    /// The facts of the format: bits, range, packing, and its names in other formats.
    pub fn spec(self) -> DTypeSpec {
        struct Spec;
        impl ElementVisitor for Spec {
            type Output = DTypeSpec;
            fn visit<E: Element>(self) -> DTypeSpec {
                E::SPEC
            }
        }
        self.visit(Spec)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let lower = name.to_ascii_lowercase();
        DType::ALL
            .into_iter()
            .find(|d| d.spec().name == lower || d.spec().aliases.contains(&lower.as_str()))
            .ok_or_else(|| UnknownDType { name: name.to_owned() })
    }
}

impl Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.spec().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_alias_parses_back_and_none_is_shared() {
        let mut seen = std::collections::HashSet::new();
        for dtype in DType::ALL {
            let spec = dtype.spec();
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert_eq!(name.parse(), Ok(dtype));
                assert_eq!(name.to_uppercase().parse(), Ok(dtype));
                assert!(seen.insert(*name), "{name} names two dtypes");
            }
        }
        assert!("float9".parse::<DType>().is_err());
    }

    #[test]
    fn packing_and_groups_fit_the_bits() {
        for dtype in DType::ALL {
            let spec = dtype.spec();
            assert_eq!(spec.packing.codes_per_byte() * spec.bits as usize, 8, "{dtype}");
            assert!(spec.groups.sizes.contains(&(spec.groups.default as u64)), "{dtype}");
            assert!(
                spec.groups
                    .sizes
                    .iter()
                    .all(|&size| spec.packing.row_bytes(size as usize) * 8 == size as usize * spec.bits as usize)
            );
        }
    }

    #[test]
    fn the_limits_are_codes() {
        struct Limits;
        impl ElementVisitor for Limits {
            type Output = ();
            fn visit<E: Element>(self) {
                assert_eq!(E::decode(E::encode(E::SPEC.max)), E::SPEC.max);
                assert_eq!(E::decode(E::encode(E::SPEC.min)), E::SPEC.min);
                assert_eq!(E::decode(E::encode(f32::INFINITY)), E::SPEC.max);
                assert_eq!(E::decode(E::encode(f32::NEG_INFINITY)), E::SPEC.min);
                assert_eq!(E::decode(E::encode(0.0)), 0.0);
            }
        }
        for dtype in DType::ALL {
            dtype.visit(Limits);
        }
    }
}
