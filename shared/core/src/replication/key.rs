//! Object keys as S3's events carry them: form-urlencoded.

use percent_encoding::percent_decode;

/// The longest key that S3 takes, in bytes.
const MAX_KEY: usize = 1024;

/// Why a key was refused. Never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No object has an empty key.
    #[error("it is empty")]
    Empty,
    /// Longer than any key of S3.
    #[error("it has {0} bytes, a key has at most 1,024")]
    TooLong(usize),
    /// A `%` without two hexadecimal digits: S3 writes `%25` for one that belongs to the key.
    #[error("it is not form-urlencoded (byte {0}): S3's events are")]
    NotEncoded(usize),
    /// The decoded bytes are no text.
    #[error("it is not UTF-8 once it is decoded")]
    NotUtf8,
}

/// The key itself: `+` is a blank, and only then percent escapes are read, so that `%2B` is a
/// plus sign.
pub(super) fn decode(encoded: &str) -> Result<String, KeyError> {
    let bytes = encoded.as_bytes();
    for (at, _) in encoded.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(KeyError::NotEncoded(at));
        }
    }
    let blanks = encoded.replace('+', " ");
    let key = percent_decode(blanks.as_bytes())
        .decode_utf8()
        .map_err(|_| KeyError::NotUtf8)?;
    match key.len() {
        0 => Err(KeyError::Empty),
        1..=MAX_KEY => Ok(key.into_owned()),
        length => Err(KeyError::TooLong(length)),
    }
}
