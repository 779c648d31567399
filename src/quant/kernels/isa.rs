//! [`Isa`]: the same loop compiled for several instruction sets, and the choice between them at run time.

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What every machine of the target has.
    Baseline,
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A loop to be compiled for each instruction set. `run` is `#[inline(always)]` in every implementation, and so is all
/// that it calls: a function that is not inlined keeps the instructions it was compiled for.
pub(super) trait Kernel {
    /// What the loop returns; `()` if it writes to what it was given.
    type Output;
    /// Runs the loop with the instructions of the function that it is inlined into.
    fn run(self) -> Self::Output;
}

impl Isa {
    /// Those that this machine has, the best last.
    pub fn present() -> Vec<Isa> {
        let mut present = vec![Isa::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            if is_avx2_present() {
                present.push(Isa::Avx2);
            }
            if is_avx512_present() {
                present.push(Isa::Avx512);
            }
        }
        present
    }

    /// The best that this machine has. Cheap: the standard library remembers what it asked the processor.
    #[inline]
    pub fn best() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            if is_avx512_present() {
                return Isa::Avx512;
            }
            if is_avx2_present() {
                return Isa::Avx2;
            }
        }
        Isa::Baseline
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
        }
    }

    /// Runs `kernel` with these instructions; with those of the target where the machine lacks them.
    #[inline(always)]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn avx2<K: Kernel>(kernel: K) -> K::Output {
                kernel.run()
            }
            #[target_feature(enable = "fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<K: Kernel>(kernel: K) -> K::Output {
                kernel.run()
            }
            if self == Isa::Avx512 && is_avx512_present() {
                // SAFETY: the processor has the features, as was just asked.
                #[expect(unsafe_code, reason = "calling a function compiled for more features; see SAFETY")]
                return unsafe { avx512(kernel) };
            }
            if self == Isa::Avx2 && is_avx2_present() {
                // SAFETY: the processor has the features, as was just asked.
                #[expect(unsafe_code, reason = "calling a function compiled for more features; see SAFETY")]
                return unsafe { avx2(kernel) };
            }
        }
        kernel.run()
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn is_avx2_present() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn is_avx512_present() -> bool {
    is_avx2_present()
        && std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512vl")
}
