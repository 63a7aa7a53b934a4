//! Lines of a file that arrives in pieces.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The schema that is written, and the latest that is read.
pub const SCHEMA: u32 = 1;

/// The longest line in bytes, its line feed included.
pub const MAX_LINE: usize = 1 << 20;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The file is something else.
    #[error("its format is {found}, expected {expected:?}: it does not belong here")]
    Format {
        /// What the first line calls it.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file was written by a later version.
    #[error(
        "its schema is {found}, this version reads schema {SCHEMA}: deploy the version that wrote it, or a later one"
    )]
    Schema {
        /// What the first line says.
        found: String,
    },
    /// It is longer than [`MAX_LINE`].
    #[error("it is longer than {MAX_LINE} bytes")]
    TooLong,
    /// It is not what should stand there.
    #[error("it is not {what} (column {column})")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// It refers to something that the first line does not have.
    #[error("it refers to {what} {index} of {count}, counted from 0")]
    Index {
        /// To what.
        what: &'static str,
        /// To which.
        index: u16,
        /// How many there are.
        count: usize,
    },
    /// The file ends before its first line or within a line.
    #[error("the file is cut off there")]
    CutOff,
}

impl LineError {
    /// The same, with where it is.
    #[must_use]
    pub fn at(self, file: &str, line: u64) -> LedgerError {
        LedgerError {
            file: file.to_owned(),
            line,
            source: self,
        }
    }
}

/// A file of the ledger cannot be read. Never skipped: rows that nobody reads would be failures
/// that nobody hears of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}")]
pub struct LedgerError {
    /// The file's key.
    pub file: String,
    /// Which line, counted from 1; after a resumption from where it was resumed.
    pub line: u64,
    /// What is wrong with it.
    pub source: LineError,
}

/// Appends a value as a line.
pub(super) fn write_line<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), LineError> {
    let start = out.len();
    // Strings, numbers and lists of them are always JSON; what is not would end as a short line.
    let written = serde_json::to_writer(&mut *out, value);
    out.push(b'\n');
    if written.is_err() || out.len() - start > MAX_LINE {
        out.truncate(start);
        return Err(LineError::TooLong);
    }
    Ok(())
}

/// Reads a line as a value.
pub(super) fn read_line<T: DeserializeOwned>(
    line: &[u8],
    what: &'static str,
) -> Result<T, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    // The parser's own words may repeat the text, and texts are other people's keys.
    serde_json::from_slice(line).map_err(|error| LineError::Malformed {
        what,
        column: error.column(),
    })
}

/// Whether a first line is of this format and of a schema that can be read.
pub(super) fn check_header(line: &[u8], expected: &'static str) -> Result<(), LineError> {
    let header: serde_json::Value = read_line(line, "a first line that tells its format")?;
    let text = |name| match header.get(name) {
        None => "missing".to_owned(),
        Some(value) => value.to_string().chars().take(64).collect(),
    };
    if header.get("format").and_then(serde_json::Value::as_str) != Some(expected) {
        let found = text("format");
        return Err(LineError::Format { found, expected });
    }
    if header.get("schema").and_then(serde_json::Value::as_u64) != Some(SCHEMA.into()) {
        let found = text("schema");
        return Err(LineError::Schema { found });
    }
    Ok(())
}

/// Cuts bytes that arrive in pieces into lines. Holds one piece and at most one line beside it.
#[derive(Default, Clone)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where no line feed was found.
    searched: usize,
    /// Bytes of all lines that were given out.
    consumed: u64,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("held", &(self.bytes.len() - self.start))
            .field("consumed", &self.consumed)
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// The next whole line without its line feed; nothing if more has to be fed.
    ///
    /// # Errors
    /// [`LineError::TooLong`].
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return if self.searched - self.start >= MAX_LINE {
                Err(LineError::TooLong)
            } else {
                Ok(None)
            };
        };
        let (start, end) = (self.start, self.searched + length);
        if end - start >= MAX_LINE {
            return Err(LineError::TooLong);
        }
        self.start = end + 1;
        self.searched = self.start;
        self.consumed += u64::try_from(self.start - start).unwrap_or(u64::MAX);
        Ok(self.bytes.get(start..end))
    }

    /// Bytes of all lines that were given out, line feeds included: where the next line begins.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Bytes held that belong to no line that was given out.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes.len() - self.start
    }
}

/// What the lines of a kind of file are.
pub trait Format {
    /// What the first line says.
    type Header;
    /// What every other line says.
    type Record;

    /// Reads the first line.
    ///
    /// # Errors
    /// [`LineError`].
    fn header(line: &[u8]) -> Result<Self::Header, LineError>;

    /// Reads another line.
    ///
    /// # Errors
    /// [`LineError`].
    fn record(line: &[u8], header: &Self::Header) -> Result<Self::Record, LineError>;
}

/// Reads a file that arrives in pieces, from its beginning or from where reading stopped.
///
/// ```
/// use sentinel_core::ledger::{Reader, Rows};
///
/// let mut reader = Reader::<Rows>::new("ledger/open/…");
/// for piece in [
///     &br#"{"format":"mrap-sentinel/ledger","schema":1,"groups":[{"source":"app-use1","desti"#[..],
///     br#"nation":"app-euw1","rule":"all","reason":"DstBucketUnversioned"}]}"#,
///     b"\n[\"key\",\"version\",1795193943250,0,null,0]\n",
/// ] {
///     reader.feed(piece);
///     while let Some(row) = reader.next_record()? {
///         assert_eq!(row.key, "key");
///     }
/// }
/// reader.finish()?;
/// # Ok::<(), sentinel_core::ledger::LedgerError>(())
/// ```
#[derive(Debug)]
pub struct Reader<F: Format> {
    file: String,
    lines: Lines,
    line: u64,
    header: Option<F::Header>,
    offset: u64,
}

impl<F: Format> Reader<F> {
    /// A reader from the file's beginning; `file` is its key, for errors.
    #[must_use]
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            lines: Lines::default(),
            line: 0,
            header: None,
            offset: 0,
        }
    }

    /// A reader from `offset`, a place that [`Reader::offset`] gave when its first line had said
    /// `header`. What is fed next must begin there.
    #[must_use]
    pub fn resume(file: impl Into<String>, header: F::Header, offset: u64) -> Self {
        Self {
            header: Some(header),
            offset,
            ..Self::new(file)
        }
    }

    /// Takes the file's next bytes.
    pub fn feed(&mut self, piece: &[u8]) {
        self.lines.feed(piece);
    }

    /// The next record; nothing if more has to be fed.
    ///
    /// # Errors
    /// [`LedgerError`] names file and line.
    pub fn next_record(&mut self) -> Result<Option<F::Record>, LedgerError> {
        loop {
            let number = self.line + 1;
            let at = |error: LineError| error.at(&self.file, number);
            let Some(line) = self.lines.next_line().map_err(at)? else {
                return Ok(None);
            };
            self.line = number;
            match &self.header {
                None => self.header = Some(F::header(line).map_err(at)?),
                Some(header) => return F::record(line, header).map(Some).map_err(at),
            }
        }
    }

    /// What the first line says, once it was read.
    #[must_use]
    pub fn header(&self) -> Option<&F::Header> {
        self.header.as_ref()
    }

    /// Where the next record begins: what a later [`Reader::resume`] goes on from.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset + self.lines.consumed()
    }

    /// Ends a file of which everything was fed and read.
    ///
    /// # Errors
    /// [`LineError::CutOff`] if there was no first line, or a line without its line feed remains.
    pub fn finish(self) -> Result<(), LedgerError> {
        if self.header.is_none() || self.lines.held() > 0 {
            return Err(LineError::CutOff.at(&self.file, self.line + 1));
        }
        Ok(())
    }
}
