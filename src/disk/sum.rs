//! The plain SHA-256 of a file, as `sha256sum` prints it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::fault::Fault;

/// Bytes read at once.
const STRIDE: usize = 1 << 20;

/// How many bytes a file has, and their SHA-256. Blocks for as long as reading takes.
///
/// # Errors
/// A disk fault.
pub fn sum(path: &Path) -> Result<(u64, [u8; 32]), Fault> {
    let failed = |error: std::io::Error| Fault::disk(format!("reading {}", path.display()), &error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hasher, mut size, mut stride) = (Sha256::new(), 0, vec![0; STRIDE]);
    loop {
        match file.read(&mut stride) {
            Ok(0) => return Ok((size, hasher.finalize().into())),
            Ok(read) => {
                hasher.update(&stride[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn it_is_what_sha256sum_prints() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let (size, sum) = sum(&path).unwrap();
        assert_eq!(size, 3);
        // FIPS 180-4's example.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sum), known);
    }
}
