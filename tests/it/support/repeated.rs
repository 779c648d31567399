//! Calibration data that takes its time.

use std::path::Path;

/// Writes the samples of a .npz with an array `input` of 8×8 images so many times over, as a .npy.
pub fn repeated(npz: &Path, copies: usize, npy: &Path) {
    let data = ptqd::dataset::Dataset::open(npz, None).expect("the fixture");
    let ptqd::dataset::Values::Float(values) = data.arrays()["input"].read("input", 0..data.samples()).expect("values")
    else {
        panic!("floats")
    };
    let shape = format!("({}, 1, 8, 8)", data.samples() * copies);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header);
    let once: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    (0..copies).for_each(|_| bytes.extend(&once));
    std::fs::write(npy, bytes).expect("written");
}
