//! `CloudWatch`'s two document protocols, rpc-v2-cbor and awsJson, over one value type.

use ciborium::Value;
use jiff::Timestamp;

/// Tag 1 of RFC 8949: seconds since the Unix epoch.
const EPOCH_TAG: u64 = 1;

/// Builds a map.
pub(crate) fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(name, value)| (Value::from(name), value))
            .collect(),
    )
}

/// Adds an entry to a map.
pub(crate) fn put(target: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Map(entries) = target {
        entries.push((Value::from(name), value.into()));
    }
}

/// A list of texts.
pub(crate) fn texts(items: &[String]) -> Value {
    Value::Array(
        items
            .iter()
            .map(|item| Value::from(item.as_str()))
            .collect(),
    )
}

/// A point in time.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this era fit into 53 bits"
)]
pub(crate) fn time(at: Timestamp) -> Value {
    let seconds = at.as_millisecond() as f64 / 1000.0;
    Value::Tag(EPOCH_TAG, Box::new(Value::Float(seconds)))
}

/// The entry of a map.
pub(crate) fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .as_map()?
        .iter()
        .find(|(key, _)| key.as_text() == Some(name))
        .map(|(_, value)| value)
}

/// The text entry of a map.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    get(value, name)?.as_text()
}

/// The number entry of a map.
pub(crate) fn number(value: &Value, name: &str) -> Option<f64> {
    as_number(get(value, name)?)
}

/// The list entry of a map; empty if absent.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    get(value, name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The entry of a map as milliseconds since the Unix epoch.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a time far from the limits of the type"
)]
pub(crate) fn time_millis(value: &Value, name: &str) -> Option<i64> {
    let seconds = match get(value, name)? {
        Value::Tag(EPOCH_TAG, inner) => as_number(inner)?,
        other => as_number(other)?,
    };
    Some((seconds * 1000.0).round() as i64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and seconds are far below 2^53"
)]
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(i128::from(*number) as f64),
        _ => None,
    }
}

/// Encodes a value as CBOR.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("writing to memory");
    bytes
}

/// Decodes CBOR; an empty body is an empty map.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Map(Vec::new()));
    }
    ciborium::from_reader(bytes).ok()
}

/// The JSON form, with times as numbers of seconds.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Tag(_, inner) => to_json(inner),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_text().unwrap_or_default().to_owned(), to_json(value)))
            .collect(),
        Value::Text(text) => text.as_str().into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Integer(number) => i64::try_from(*number).unwrap_or_default().into(),
        Value::Float(number) => (*number).into(),
        _ => serde_json::Value::Null,
    }
}

/// The value of a JSON body; an empty one is an empty map.
pub(crate) fn from_json(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Map(Vec::new()));
    }
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    Value::serialized(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_both_encodings() {
        let at: Timestamp = "2026-11-20T16:00:00.125Z".parse().unwrap();
        let mut value = map([("a", Value::from("x")), ("t", time(at))]);
        put(&mut value, "n", 3);
        let decoded = decode(&encode(&value)).unwrap();
        assert_eq!(text(&decoded, "a"), Some("x"));
        assert_eq!(time_millis(&decoded, "t"), Some(at.as_millisecond()));
        assert_eq!(number(&decoded, "n"), Some(3.0));
        let json = serde_json::to_vec(&to_json(&value)).unwrap();
        let back = from_json(&json).unwrap();
        assert_eq!(time_millis(&back, "t"), Some(at.as_millisecond()));
    }
}
