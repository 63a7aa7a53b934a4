//! The log of every request, and the hash that determinism tests compare.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Service, SimTime};

/// What became of a request, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Not known yet.
    InFlight,
    /// The answer reached the client.
    Answered,
    /// The client got a connection error.
    ConnectionFailed,
    /// The client stopped waiting: a time-out, a cancelled future, a crash.
    GaveUp,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Position in the log, from 0.
    pub seq: u64,
    /// When the client sent it.
    pub at: SimTime,
    /// Label of the client.
    pub client: String,
    /// Number of its connection pool.
    pub pool: u64,
    /// Region that served it (for the MRAP's data plane: the one it was routed to).
    pub region: String,
    /// Service.
    pub service: Service,
    /// Operation by its API name.
    pub operation: String,
    /// `bucket/key`, MRAP ARN, topic ARN, or the path where none is known.
    pub resource: String,
    /// Whether it came through an MRAP.
    pub through_mrap: bool,
    /// HTTP status that the service answered, if it saw the request; later for late landings.
    pub status: Option<u16>,
    /// Error code of that answer.
    pub error: Option<String>,
    /// Name of the fault that hit it.
    pub fault: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// When that was known.
    pub fate_at: Option<SimTime>,
    /// SHA-256 of the request body, hexadecimal.
    pub body_hash: String,
    /// SHA-256 of method, URI, headers (signature included) and body, hexadecimal.
    pub fingerprint: String,
}

/// All requests in the order of sending, with a running hash over every fact added.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: Vec<LogEntry>,
    hash: Sha256,
}

impl RequestLog {
    pub(crate) fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// The number that the next entry gets.
    pub(crate) fn next_seq(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn push(&mut self, entry: LogEntry) {
        let line = serde_json::to_vec(&entry).expect("plain data");
        self.hash.update(&line);
        self.hash.update(b"\n");
        self.entries.push(entry);
    }

    /// Records what the service answered, at once or late.
    pub(crate) fn answer(&mut self, seq: u64, status: u16, error: Option<String>) {
        self.note(&format!("{seq} {status} {error:?}\n"));
        if let Some(entry) = self.entry(seq) {
            entry.status = Some(status);
            entry.error = error;
        }
    }

    pub(crate) fn settle(&mut self, seq: u64, fate: Fate, at: SimTime) {
        self.note(&format!("{seq} {fate:?} {}\n", at.as_millis()));
        if let Some(entry) = self.entry(seq) {
            entry.fate = fate;
            entry.fate_at = Some(at);
        }
    }

    /// SHA-256 of everything so far, hexadecimal.
    pub(crate) fn hash(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    fn note(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
    }

    fn entry(&mut self, seq: u64) -> Option<&mut LogEntry> {
        self.entries.get_mut(usize::try_from(seq).ok()?)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// SHA-256 of some bytes, hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
