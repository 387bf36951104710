//! Values as bytes (postcard), at the end of a buffer.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Appends a value.
///
/// # Errors
/// Where the value cannot be said in postcard; some of it may have been appended then.
pub fn append(value: &impl Serialize, into: &mut Vec<u8>) -> Result<(), postcard::Error> {
    postcard::serialize_with_flavor(value, Tail(into))
}

/// Takes bytes one by one, as postcard gives them: a digest has 32, and to write each through
/// `std::io::Write` takes longer.
struct Tail<'a>(&'a mut Vec<u8>);

impl Flavor for Tail<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> Result<(), postcard::Error> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> Result<(), postcard::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> Result<(), postcard::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_what_was_there() {
        let mut bytes = vec![9];
        append(&(300u32, "ab", [7u8; 3]), &mut bytes).unwrap();
        assert_eq!(bytes, [&[9][..], &postcard::to_allocvec(&(300u32, "ab", [7u8; 3])).unwrap()].concat());
    }
}
