//! Digests as they are written everywhere: SHA-256 in hexadecimal.
//!
//! A leaf: any module may name it, and it names none.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// Bytes in hexadecimal, two lower-case digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Size and SHA-256 of a file, in hexadecimal; `None` if `go_on`, asked before every part, says no.
pub fn sha256_file(path: &Path, go_on: impl Fn() -> bool) -> io::Result<Option<(u64, String)>> {
    let mut file = File::open(path)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    while go_on() {
        match file.read(&mut buffer)? {
            0 => return Ok(Some((size, hex(&hasher.finalize())))),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
