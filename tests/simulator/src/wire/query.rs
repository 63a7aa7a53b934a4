//! Percent-encoding: query strings, form bodies, paths, list encodings.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What S3 leaves as it is with `encoding-type=url`.
const URL_ENCODE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Parameters of a query string or an `application/x-www-form-urlencoded` body; the last of
/// several equal names wins.
pub(crate) fn parse(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&name.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

/// Every value of a parameter that may be there several times.
pub(crate) fn all(text: &str, name: &str) -> Vec<String> {
    text.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(&value.replace('+', " ")))
        .collect()
}

/// Percent-decodes a path or value; invalid UTF-8 is replaced.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Encodes a key for a listing with `encoding-type=url`.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, URL_ENCODE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let parsed = parse("a=1&b=x%26y+z&versioning&=");
        assert_eq!(parsed["a"], "1");
        assert_eq!(parsed["b"], "x&y z");
        assert_eq!(parsed["versioning"], "");
        assert_eq!(encode("a b/c&"), "a%20b/c%26");
    }
}
