//! What a request says, whatever the order in which it says it.
//!
//! The SDK keeps S3 user metadata and SNS message attributes in maps without an order, so equal
//! runs send equal requests with their headers, or the numbered entries of their forms, in another
//! order. Neither order means anything.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;

use crate::log::sha256_hex;
use crate::wire::header;

/// The body, with the numbered entries of a form in order of what they say.
pub(crate) fn body(headers: &HeaderMap, body: &Bytes) -> Bytes {
    if !is_form(headers) {
        return body.clone();
    }
    let text = String::from_utf8_lossy(body);
    let mut plain = Vec::new();
    let mut entries: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for pair in text.split('&') {
        match numbered(pair) {
            Some((list, number, rest)) => entries.entry((list, number)).or_default().push(rest),
            None => plain.push(pair.to_owned()),
        }
    }
    let mut entries: Vec<String> = entries
        .into_iter()
        .map(|((list, _), parts)| format!("{list}.entry.{}", parts.join(",")))
        .collect();
    entries.sort();
    plain.extend(entries);
    Bytes::from(plain.join("&"))
}

/// `MessageAttributes.entry.1.Name=event` as list, number and the rest.
fn numbered(pair: &str) -> Option<(&str, &str, &str)> {
    let (list, rest) = pair.split_once(".entry.")?;
    let (number, rest) = rest.split_once('.')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((list, number, rest))
}

fn is_form(headers: &HeaderMap) -> bool {
    header(headers, "content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// SHA-256 of method, URI, headers and body, hexadecimal. The signature is part of it, but for
/// a form: there it covers the order of the entries.
pub(crate) fn fingerprint(request: &http::Request<Bytes>) -> String {
    let form = is_form(request.headers());
    let mut text = format!("{} {}\n", request.method(), request.uri()).into_bytes();
    let mut headers: Vec<_> = request.headers().iter().collect();
    headers.sort_by_key(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in headers {
        let mut value = value.as_bytes();
        if form && name == "authorization" {
            let signature = b"Signature=";
            let end = value
                .windows(signature.len())
                .position(|part| part == signature);
            value = end.map_or(value, |end| &value[..end]);
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text.extend_from_slice(&body(request.headers(), request.body()));
    sha256_hex(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: &str, headers: &[(&str, &str)], body: &str) -> http::Request<Bytes> {
        let mut request = http::Request::post("/").header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Bytes::from(body.to_owned())).unwrap()
    }

    #[test]
    fn the_order_of_headers_means_nothing() {
        let (a, b) = (("x-amz-meta-a", "1"), ("x-amz-meta-b", "2"));
        let one = fingerprint(&request("text/plain", &[a, b], "x"));
        assert_eq!(one, fingerprint(&request("text/plain", &[b, a], "x")));
        assert_ne!(one, fingerprint(&request("text/plain", &[a], "x")));
    }

    #[test]
    fn the_order_of_a_forms_entries_means_nothing() {
        let form = "application/x-www-form-urlencoded";
        let one =
            "Action=Publish&A.entry.1.Name=a&A.entry.1.Value=x&A.entry.2.Name=b&A.entry.2.Value=y";
        let other =
            "Action=Publish&A.entry.1.Name=b&A.entry.1.Value=y&A.entry.2.Name=a&A.entry.2.Value=x";
        let swapped =
            "Action=Publish&A.entry.1.Name=a&A.entry.1.Value=y&A.entry.2.Name=b&A.entry.2.Value=x";
        let signed = |signature| [("authorization", signature)];
        let print = |body, signature| fingerprint(&request(form, &signed(signature), body));
        let expected = print(one, "Credential=c, Signature=1");
        assert_eq!(expected, print(other, "Credential=c, Signature=2"));
        assert_ne!(expected, print(swapped, "Credential=c, Signature=1"));
        assert_ne!(expected, print(one, "Credential=d, Signature=1"));
        let plain = |body| fingerprint(&request("text/plain", &[], body));
        assert_ne!(plain(one), plain(other));
    }
}
