//! The settings of the `replication-events` function.

use super::SettingsError;
use super::reader::Reader;
use crate::names::{BucketName, Members, MrapArn};

/// Everything that the `replication-events` function is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorSettings {
    /// `MRAP_ARN`.
    pub mrap: MrapArn,
    /// `MEMBERS`, home first.
    pub members: Members,
    /// `STATE_BUCKET`.
    pub state_bucket: BucketName,
}

impl CollectorSettings {
    /// Reads the settings through `lookup`, which answers for environment variables.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, named.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(lookup);
        Ok(Self {
            mrap: read.mrap()?,
            members: read.members()?,
            state_bucket: read.state_bucket()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_its_variable() {
        let read = |name: &str, value: &str| {
            CollectorSettings::from_lookup(|asked| {
                let usual = match asked {
                    "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
                    "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1",
                    "STATE_BUCKET" => "sentinel-state",
                    _ => return None,
                };
                Some(if asked == name { value } else { usual }.to_owned())
            })
        };
        assert!(read("", "").is_ok());
        for (name, value) in [
            ("MRAP_ARN", ""),
            ("MEMBERS", "app-use1"),
            ("STATE_BUCKET", "Not A Bucket"),
        ] {
            let error = read(name, value).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
