//! Quoting other people's text in errors without repeating it in bulk.

use std::fmt;

/// At most this many characters of a text are repeated.
const MAX_CHARS: usize = 64;

/// Shows a text quoted and escaped, cut off after [`MAX_CHARS`] characters.
#[derive(Clone, Copy)]
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(MAX_CHARS).map(|(at, _)| at);
        match end.and_then(|end| self.0.get(..end)) {
            Some(head) => write!(f, "{head:?}…"),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// At most this many items are listed.
const MAX_ITEMS: usize = 8;

/// The items separated by commas, the surplus counted.
pub(crate) fn listing<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let mut texts: Vec<String> = items
        .by_ref()
        .take(MAX_ITEMS)
        .map(|i| i.to_string())
        .collect();
    let more = items.count();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_and_listings_are_bounded() {
        assert_eq!(Excerpt("a\n\"b").to_string(), r#""a\n\"b""#);
        assert_eq!(Excerpt(&"ä".repeat(64)).to_string().chars().count(), 66);
        assert_eq!(Excerpt(&"ä".repeat(65)).to_string().chars().count(), 67);
        assert_eq!(listing(1..=3), "1, 2, 3");
        assert_eq!(listing(1..=10), "1, 2, 3, 4, 5, 6, 7, 8, 2 more");
        assert_eq!(listing([0; 0]), "");
    }
}
