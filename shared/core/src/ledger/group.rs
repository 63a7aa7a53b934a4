//! What failures have in common.

use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::{BucketName, NameError};

/// Where a version should have been replicated to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// Whichever rules match: rows of an operator's sweep. Written as `*`.
    Any,
    /// This bucket, of whatever account.
    Bucket(BucketName),
}

impl Destination {
    /// The bucket's name, or `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Bucket(bucket) => bucket.as_str(),
        }
    }

    /// The bucket, if it is one.
    #[must_use]
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Any => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }
}

impl FromStr for Destination {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "*" => Ok(Self::Any),
            bucket => bucket.parse().map(Self::Bucket),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.as_str().to_owned()
    }
}

impl From<BucketName> for Destination {
    fn from(bucket: BucketName) -> Self {
        Self::Bucket(bucket)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Failures that share source, destination, rule and reason: what broke them is one thing, and
/// what mends it too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// The bucket that holds the versions.
    pub source: BucketName,
    /// Where they should have gone.
    pub destination: Destination,
    /// The replication rule's id.
    pub rule: String,
    /// S3's reason without stray blanks, known to [`crate::reasons`] or not.
    pub reason: String,
}

impl Group {
    /// The name of the group: the same for the same four values, everywhere and always.
    #[must_use]
    pub fn id(&self) -> GroupId {
        let mut hash = Sha256::new();
        hash.update(self.source.as_str());
        for part in [self.destination.as_str(), &self.rule, &self.reason] {
            hash.update([0]);
            hash.update(part);
        }
        GroupId(beginning(&hash.finalize()))
    }
}

/// Sixteen hexadecimal digits that name a [`Group`]; an operator's commands take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId([u8; 8]);

/// A text that should name something by hexadecimal digits does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits in lower case")]
pub struct IdError {
    /// How many there should be.
    pub digits: usize,
}

/// The first bytes of a digest, which has more of them.
pub(super) fn beginning<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk().copied().unwrap_or([0; N])
}

pub(super) fn write_hex(f: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(super) fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let digits = text.as_bytes();
    let error = IdError { digits: 2 * N };
    if digits.len() != 2 * N {
        return Err(error);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(error),
            };
            *byte = *byte << 4 | value;
        }
    }
    Ok(bytes)
}

/// Gives a newtype over bytes its hexadecimal text.
macro_rules! hex_newtype {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::ledger::group::write_hex(f, &self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ledger::group::IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::ledger::group::read_hex(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::ledger::group::IdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}
pub(super) use hex_newtype;

hex_newtype!(GroupId);
