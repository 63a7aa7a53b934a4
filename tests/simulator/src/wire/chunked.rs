//! `aws-chunked` bodies, signed or unsigned, with or without a trailer.

use bytes::{Bytes, BytesMut};

/// A decoded body and its trailing headers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) body: Bytes,
    pub(crate) trailer: Vec<(String, String)>,
}

/// Decodes a body; `None` if it is not well-formed.
pub(crate) fn decode(encoded: &[u8]) -> Option<Decoded> {
    let mut body = BytesMut::new();
    let mut rest = encoded;
    loop {
        let (line, after) = split_line(rest)?;
        let size = line.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(Decoded {
                body: body.freeze(),
                trailer: trailer(after)?,
            });
        }
        body.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn trailer(mut rest: &[u8]) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (line, after) = split_line(rest)?;
        if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        rest = after;
    }
    Some(fields)
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_decoded() {
        let cases: [(&[u8], &[u8], usize); 4] = [
            (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n", b"hello", 1),
            (
                b"5;chunk-signature=ab\r\nhello\r\n1;chunk-signature=cd\r\n!\r\n0;chunk-signature=ef\r\n\r\n",
                b"hello!",
                0,
            ),
            (b"0\r\n\r\n", b"", 0),
            (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", 0),
        ];
        for (encoded, body, trailers) in cases {
            let decoded = decode(encoded).unwrap();
            assert_eq!(decoded.body, body);
            assert_eq!(decoded.trailer.len(), trailers);
        }
    }

    #[test]
    fn broken_bodies_are_refused() {
        for text in [
            "",
            "5\r\nhel",
            "zz\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello\r\n",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
