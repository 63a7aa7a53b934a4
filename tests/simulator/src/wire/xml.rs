//! XML in and out: a small tree to read requests, a writer for answers.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

/// An element of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads a document; `None` if it is not well-formed.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => open.push(Self::named(tag.local_name().as_ref())),
                Event::Empty(tag) => {
                    let element = Self::named(tag.local_name().as_ref());
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Some(element),
                    }
                }
                Event::End(_) => {
                    let element = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Some(element),
                    }
                }
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                }
                Event::GeneralRef(entity) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push(resolve(&entity)?);
                    }
                }
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The first child with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child with this name, trimmed.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }
}

fn resolve(entity: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Some(character) = entity.resolve_char_ref().ok()? {
        return Some(character);
    }
    Some(match &**entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

/// Writes a document.
#[derive(Debug)]
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    /// `<name>text</name>`, escaped.
    pub(crate) fn text(&mut self, name: &str, text: impl AsRef<str>) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        self.0.push_str(&escape(text.as_ref()));
        self.close(name);
    }

    /// `<name>…</name>` around what `inside` writes. The name may carry attributes.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        inside(self);
        self.close(name);
    }

    /// An element as it was read.
    pub(crate) fn copy(&mut self, element: &Element) {
        if element.children.is_empty() {
            self.text(&element.name, &element.text);
        } else {
            self.element(&element.name, |w| {
                for child in &element.children {
                    w.copy(child);
                }
            });
        }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn close(&mut self, name: &str) {
        let name = name.split(' ').next().unwrap_or(name);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_the_round_trip() {
        let mut writer = Writer::new();
        writer.element("Root xmlns=\"urn:x\"", |w| {
            w.text("A", "1 < 2 & \"so\"");
            w.element("B", |w| w.text("C", "é"));
        });
        let root = Element::parse(writer.finish().as_bytes()).unwrap();
        assert_eq!(root.name, "Root");
        assert_eq!(root.text_of("A"), Some("1 < 2 & \"so\""));
        assert_eq!(root.child("B").unwrap().text_of("C"), Some("é"));
    }

    #[test]
    fn broken_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "plain", "<a>&nope;</a>"] {
            assert_eq!(Element::parse(text.as_bytes()), None, "{text}");
        }
    }
}
