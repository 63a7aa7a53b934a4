//! Encryption at rest, as far as it decides what can be read, written and replicated.

use std::collections::BTreeMap;

use super::{Request, S3};
use crate::config::Encryption;
use crate::wire::{Answer, ServiceError};

/// State of a KMS key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    Disabled,
    Deleted,
}

/// The keys that do not work, by ARN; any other key does.
pub(super) type Keys = BTreeMap<String, KeyState>;

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";

impl S3 {
    pub(crate) fn key_state(&self, encryption: &Encryption) -> Option<KeyState> {
        match encryption {
            Encryption::SseS3 => None,
            Encryption::SseKms { key } => self.kms.get(key).copied(),
        }
    }

    pub(super) fn no_key_is_broken(&self) -> bool {
        self.kms.is_empty()
    }

    pub(crate) fn set_key_state(&mut self, key: &str, state: Option<KeyState>) {
        match state {
            Some(state) => self.kms.insert(key.to_owned(), state),
            None => self.kms.remove(key),
        };
    }

    /// Refuses what needs a key that does not work.
    pub(super) fn check_key(&self, encryption: &Encryption) -> Result<(), ServiceError> {
        let (code, message) = match self.key_state(encryption) {
            None => return Ok(()),
            Some(KeyState::Disabled) => ("KMS.DisabledException", "The KMS key is disabled."),
            Some(KeyState::Deleted) => (
                "KMS.KMSInvalidStateException",
                "The KMS key is pending deletion.",
            ),
        };
        Err(ServiceError::new(400, code, message))
    }

    /// How a new object is encrypted: as its request says, else as its bucket does by default.
    pub(super) fn encryption_of(&self, request: &Request<'_>) -> Result<Encryption, ServiceError> {
        let default = &self.buckets[request.bucket].encryption;
        match request.call.header(ALGORITHM) {
            None => Ok(default.clone()),
            Some("AES256") => Ok(Encryption::SseS3),
            Some("aws:kms") => {
                let named = request.call.header(KEY_ID).map(str::to_owned);
                let key = named.or_else(|| match default {
                    Encryption::SseKms { key } => Some(key.clone()),
                    Encryption::SseS3 => None,
                });
                let key = key.unwrap_or_else(|| {
                    let region = &self.buckets[request.bucket].region;
                    format!("arn:aws:kms:{region}:000000000000:alias/aws/s3")
                });
                Ok(Encryption::SseKms { key })
            }
            Some(_) => Err(ServiceError::new(
                400,
                "InvalidArgument",
                "The encryption method specified is not supported",
            )),
        }
    }
}

/// The headers that tell how an object is encrypted.
pub(super) fn with_encryption(answer: Answer, encryption: &Encryption) -> Answer {
    match encryption {
        Encryption::SseS3 => answer.header(ALGORITHM, "AES256"),
        Encryption::SseKms { key } => answer.header(ALGORITHM, "aws:kms").header(KEY_ID, key),
    }
}
