//! [`Cpu`]: the kind of processor that a result is to run on.

/// The kind of processor that a result is to run on, as far as integer kernels differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cpu {
    /// That of the machine that quantizes.
    Auto,
    /// x86 with VNNI, which adds products of codes in 32 bits.
    Vnni,
    /// x86 without: pairs of products are added in 16 bits, which saturate.
    Avx2,
    /// ARM of 64 bits.
    Arm64,
}

impl Cpu {
    /// The names that users type.
    pub(super) const NAMES: [(&str, Cpu); 4] =
        [("auto", Cpu::Auto), ("vnni", Cpu::Vnni), ("avx2", Cpu::Avx2), ("arm64", Cpu::Arm64)];

    /// What is meant: of `auto`, what this machine is.
    pub(super) fn resolved(self) -> Cpu {
        match self {
            Cpu::Auto => here(),
            cpu => cpu,
        }
    }

    /// Whether integer kernels saturate unless weights leave a bit unused.
    pub(super) fn saturates(self) -> bool {
        self.resolved() == Cpu::Avx2
    }
}

#[cfg(target_arch = "x86_64")]
fn here() -> Cpu {
    let vnni = std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni");
    if vnni { Cpu::Vnni } else { Cpu::Avx2 }
}

#[cfg(not(target_arch = "x86_64"))]
fn here() -> Cpu {
    Cpu::Arm64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_x86_without_vnni_saturates_and_auto_is_one_of_them() {
        let saturating: Vec<&str> =
            Cpu::NAMES[1..].iter().filter(|(_, cpu)| cpu.saturates()).map(|(name, _)| *name).collect();
        assert_eq!(saturating, ["avx2"]);
        assert_ne!(Cpu::Auto.resolved(), Cpu::Auto);
    }
}
