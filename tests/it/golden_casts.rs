//! Casts to fp8 against torch's, over all 16-bit patterns and the tricky 32-bit ones.

use half::{bf16, f16};
use ptqd::numeric::{E4m3fn, E5m2, Element};

use crate::support::Golden;

fn same<E: Element>(ours: u8, theirs: u8) -> bool {
    ours == theirs || (E::decode(ours).is_nan() && E::decode(theirs).is_nan())
}

fn check<E: Element>(golden: &Golden, vector: &str, values: impl Iterator<Item = f32>) {
    let expected = golden.bytes(vector);
    let mut checked = 0;
    for (i, x) in values.enumerate() {
        let ours = E::encode(x);
        assert!(same::<E>(ours, expected[i]), "{vector}[{i}]: {x:e} gives {ours:#04x}, torch {:#04x}", expected[i]);
        checked += 1;
    }
    assert_eq!(checked, expected.len());
}

#[test]
fn all_bf16_and_f16_patterns_encode_as_torch_encodes_them_after_clamping() {
    let golden = Golden::open("cast_fp8_all16.safetensors");
    let bf16s = || (0..=u16::MAX).map(|bits| bf16::from_bits(bits).to_f32());
    let f16s = || (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32());
    check::<E4m3fn>(&golden, "bf16.e4m3fn_sat", bf16s());
    check::<E4m3fn>(&golden, "f16.e4m3fn_sat", f16s());
    check::<E5m2>(&golden, "bf16.e5m2_sat", bf16s());
    check::<E5m2>(&golden, "f16.e5m2_sat", f16s());
    // torch's own cast to E4M3FN saturates by itself.
    check::<E4m3fn>(&golden, "bf16.e4m3fn_raw", bf16s());
    check::<E4m3fn>(&golden, "f16.e4m3fn_raw", f16s());
}

#[test]
fn tricky_f32_patterns_encode_as_torch_encodes_them_after_clamping() {
    let golden = Golden::open("cast_fp8_f32_tricky.safetensors");
    let values = || golden.floats("input_bits").into_iter();
    check::<E4m3fn>(&golden, "e4m3fn_sat", values());
    check::<E5m2>(&golden, "e5m2_sat", values());
}

#[test]
fn all_codes_decode_as_torch_decodes_them() {
    let golden = Golden::open("cast_fp8_all16.safetensors");
    fn check<E: Element>(expected: &[f32]) {
        for (code, theirs) in (0..=u8::MAX).zip(expected) {
            let ours = E::decode(code);
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{code:#04x}");
        }
    }
    check::<E4m3fn>(&golden.floats("decode.e4m3fn"));
    check::<E5m2>(&golden.floats("decode.e5m2"));
}
