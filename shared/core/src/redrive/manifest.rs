//! Lines of the manifest that a job is given.
//!
//! `Bucket,Key,VersionId`, no header row. Keys are percent-encoded except for
//! `A-Z a-z 0-9 - . _ ~ /`, so that neither a decoder that takes `+` for a blank nor one that does
//! not reads anything but the key, and no key can contain a comma, a quote or a line break.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::names::BucketName;

/// What is written as `%XX`.
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Appends the line of a version.
///
/// A version's id is opaque and not decoded by S3, so it is never encoded; should one contain what
/// CSV gives a meaning, it is quoted.
pub fn line(out: &mut Vec<u8>, bucket: &BucketName, key: &str, version: &str) {
    out.extend_from_slice(bucket.as_str().as_bytes());
    out.push(b',');
    for piece in utf8_percent_encode(key, &ENCODED) {
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b',');
    if version.contains([',', '"', '\r', '\n']) {
        out.push(b'"');
        for byte in version.bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(version.as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_decoder_reads_the_key() {
        for (key, encoded) in [
            ("photos/a.jpg", "photos/a.jpg"),
            ("a b", "a%20b"),
            ("a+b", "a%2Bb"),
            ("a%2Bb", "a%252Bb"),
            ("x,\"y\"\r\n", "x%2C%22y%22%0D%0A"),
            ("ü/日", "%C3%BC/%E6%97%A5"),
            ("-._~", "-._~"),
            ("\u{feff}bom", "%EF%BB%BFbom"),
        ] {
            let mut out = Vec::new();
            line(&mut out, &"app-use1".parse().unwrap(), key, "v1");
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("app-use1,{encoded},v1\n")
            );
        }
    }

    #[test]
    fn a_version_is_verbatim() {
        for (version, written) in [
            ("null", "null"),
            (
                "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
                "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
            ),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
        ] {
            let mut out = Vec::new();
            line(&mut out, &"app-use1".parse().unwrap(), "k", version);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("app-use1,k,{written}\n")
            );
        }
    }
}
