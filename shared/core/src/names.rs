//! Validated names: Regions, buckets, ARNs and the members of a Multi-Region Access Point.
//!
//! Every type has private fields and can only be made by parsing, so whoever holds one need
//! not check it again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text does not have the shape that AWS documents for this kind of name.
    #[error("{text:?} is not {expected}")]
    Shape {
        /// What was given.
        text: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// The list of members contradicts itself.
    #[error("{0}")]
    Members(String),
}

fn shape(text: &str, expected: &'static str) -> NameError {
    NameError::Shape {
        text: text.to_owned(),
        expected,
    }
}

/// Gives a newtype over a checked `String` its text access, `Display`, `FromStr` and serde.
macro_rules! text_newtype {
    ($name:ident, $check:expr, $expected:expr) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(shape(text, $expected))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// An AWS Region code such as `eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

text_newtype!(
    Region,
    |text| {
        let parts: Vec<&str> = text.split('-').collect();
        let Some((number, words)) = parts.split_last() else {
            return false;
        };
        words.len() >= 2
            && words
                .iter()
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
            && !number.is_empty()
            && number.len() <= 2
            && number.bytes().all(|b| b.is_ascii_digit())
    },
    "a Region code such as eu-west-1"
);

/// A general-purpose bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

text_newtype!(
    BucketName,
    |text| {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        (3..=63).contains(&bytes.len())
            && bytes.iter().all(|&b| edge(b) || b == b'.' || b == b'-')
            && bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
            && !text.contains("..")
    },
    "a bucket name: 3 to 63 of a-z, 0-9, '.' and '-', beginning and ending with a letter or digit"
);

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The ARN of a Multi-Region Access Point: `arn:aws:s3::<account>:accesspoint/<alias>.mrap`.
///
/// Alias and ARN are not interchangeable: the routes API takes the ARN, the data plane's host
/// name is built from the alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MrapArn(String);

text_newtype!(
    MrapArn,
    |text| {
        let Some((account, alias)) = text
            .strip_prefix("arn:aws:s3::")
            .and_then(|rest| rest.split_once(":accesspoint/"))
        else {
            return false;
        };
        let Some(stem) = alias.strip_suffix(".mrap") else {
            return false;
        };
        is_account(account)
            && alias.len() <= 63
            && stem.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && stem
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    },
    "the ARN of a Multi-Region Access Point such as arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
);

impl MrapArn {
    /// The twelve digits of the owning account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The generated alias with its ending, such as `mfzwi23gnjvgw.mrap`.
    #[must_use]
    pub fn alias(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What stands before the alias's ending, such as `mfzwi23gnjvgw`: alarms are named by it.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.alias().split('.').next().unwrap_or_default()
    }
}

/// The ARN of a CloudWatch alarm: `arn:aws:cloudwatch:<region>:<account>:alarm:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlarmArn(String);

text_newtype!(
    AlarmArn,
    |text| {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        matches!(parts.as_slice(), ["arn", partition, "cloudwatch", region, account, "alarm", name]
            if partition.starts_with("aws") && region.parse::<Region>().is_ok()
                && is_account(account) && !name.is_empty())
    },
    "the ARN of a CloudWatch alarm such as arn:aws:cloudwatch:eu-west-1:111122223333:alarm:primary-5xx"
);

impl AlarmArn {
    /// The alarm's name; it may contain colons.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.splitn(7, ':').nth(6).unwrap_or_default()
    }

    /// The Region in which the alarm lives: whose CloudWatch answers for it, not the Region it speaks for.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        self.0.split(':').nth(3).and_then(|text| text.parse().ok())
    }

    /// The twelve digits of the account in which the alarm lives.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

/// The ARN of a standard SNS topic: `arn:aws:sns:<region>:<account>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicArn(String);

text_newtype!(
    TopicArn,
    |text| {
        let parts: Vec<&str> = text.split(':').collect();
        matches!(parts.as_slice(), ["arn", partition, "sns", region, account, name]
            if partition.starts_with("aws") && region.parse::<Region>().is_ok()
                && is_account(account) && !name.is_empty() && name.strip_suffix(".fifo").is_none())
    },
    "the ARN of a standard SNS topic such as arn:aws:sns:eu-west-1:111122223333:mrap-sentinel"
);

impl TopicArn {
    /// The Region in which the topic lives and must be published to.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        self.0.split(':').nth(3).and_then(|text| text.parse().ok())
    }
}

/// The ARN of an IAM role: `arn:aws:iam::<account>:role/<path and name>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(String);

text_newtype!(
    RoleArn,
    |text| {
        let parts: Vec<&str> = text.split(':').collect();
        matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws") && is_account(account)
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/')))
    },
    "the ARN of an IAM role such as arn:aws:iam::111122223333:role/mrap-sentinel-batch"
);

impl RoleArn {
    /// The twelve digits of the account in which the role lives.
    #[must_use]
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

/// One bucket of the Multi-Region Access Point and its Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The bucket, by which the routes API is addressed.
    pub bucket: BucketName,
    /// The bucket's Region.
    pub region: Region,
}

impl FromStr for Member {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (bucket, region) = text
            .split_once('@')
            .ok_or_else(|| shape(text, "a member of the form bucket@region"))?;
        Ok(Self {
            bucket: bucket.parse()?,
            region: region.parse()?,
        })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.bucket, self.region)
    }
}

/// The members in order of preference, home first: 2 to 17, one bucket a Region.
///
/// 17 is the user guide's limit of Regions per Multi-Region Access Point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members(Vec<Member>);

impl Members {
    /// Checks the number of members and that no Region and no bucket stands twice.
    ///
    /// # Errors
    /// [`NameError::Members`] says which rule is broken.
    pub fn new(members: Vec<Member>) -> Result<Self, NameError> {
        if !(2..=17).contains(&members.len()) {
            return Err(NameError::Members(format!(
                "2 to 17 members are needed, {} given",
                members.len()
            )));
        }
        let mut regions = BTreeSet::new();
        let mut buckets = BTreeSet::new();
        for member in &members {
            if !regions.insert(&member.region) {
                return Err(NameError::Members(format!(
                    "Region {} stands twice; a Multi-Region Access Point has one bucket a Region",
                    member.region
                )));
            }
            if !buckets.insert(&member.bucket) {
                return Err(NameError::Members(format!(
                    "bucket {} stands twice",
                    member.bucket
                )));
            }
        }
        Ok(Self(members))
    }

    /// The members, most preferred first.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// The Regions, most preferred first.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.0.iter().map(|member| &member.region)
    }

    /// The member in this Region.
    #[must_use]
    pub fn in_region(&self, region: &Region) -> Option<&Member> {
        self.0.iter().find(|member| &member.region == region)
    }

    /// The member with this bucket.
    #[must_use]
    pub fn with_bucket(&self, bucket: &str) -> Option<&Member> {
        self.0
            .iter()
            .find(|member| member.bucket.as_str() == bucket)
    }

    /// Home: the most preferred member.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "`new` admits no empty list")]
    pub fn home(&self) -> &Member {
        &self.0[0]
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = std::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromStr for Members {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.split(',')
            .map(|part| part.trim().parse())
            .collect::<Result<Vec<Member>, _>>()
            .and_then(Self::new)
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, member) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{member}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses each text and compares with what is expected of it.
    fn table<T: FromStr<Err = NameError>>(accepted: &[&str], rejected: &[&str]) {
        for text in accepted {
            assert!(text.parse::<T>().is_ok(), "{text:?} should be accepted");
        }
        for text in rejected {
            assert!(text.parse::<T>().is_err(), "{text:?} should be rejected");
        }
    }

    #[test]
    fn regions() {
        table::<Region>(
            &[
                "us-east-1",
                "ap-southeast-2",
                "us-gov-west-1",
                "mx-central-1",
            ],
            &[
                "",
                "us-east",
                "us-east-",
                "US-EAST-1",
                "us_east_1",
                "eu-west-1a",
                "EU (Ireland)",
                "-1",
            ],
        );
    }

    #[test]
    fn buckets() {
        table::<BucketName>(
            &["app-use1", "abc", "a.b-c", "0bucket0"],
            &[
                "",
                "ab",
                "App",
                "-app",
                "app-",
                "a..b",
                "a b c",
                &"x".repeat(64),
            ],
        );
    }

    #[test]
    fn arns() {
        table::<MrapArn>(
            &["arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"],
            &[
                "mfzwi23gnjvgw.mrap",
                "arn:aws:s3:us-east-1:111122223333:accesspoint/mfzwi23gnjvgw.mrap",
                "arn:aws:s3::11112222333:accesspoint/mfzwi23gnjvgw.mrap",
                "arn:aws:s3::111122223333:accesspoint/Mfz.mrap",
                "arn:aws:s3::111122223333:accesspoint/.mrap",
                "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw",
            ],
        );
        table::<AlarmArn>(
            &[
                "arn:aws:cloudwatch:us-east-1:123456789012:alarm:primary-5xx",
                "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a:b c",
            ],
            &[
                "primary-5xx",
                "arn:aws:cloudwatch:us-east-1:123456789012:alarm:",
                "arn:aws:sns:us-east-1:123456789012:alarm:x",
            ],
        );
        table::<TopicArn>(
            &["arn:aws:sns:eu-west-1:111122223333:mrap-sentinel"],
            &[
                "arn:aws:sns:eu-west-1:111122223333:mrap.fifo",
                "mrap-sentinel",
            ],
        );
        table::<RoleArn>(
            &[
                "arn:aws:iam::111122223333:role/mrap-sentinel-batch",
                "arn:aws:iam::111122223333:role/service/batch",
            ],
            &[
                "mrap-sentinel-batch",
                "arn:aws:iam::111122223333:user/batch",
                "arn:aws:iam::111122223333:role/",
                "arn:aws:iam:us-east-1:111122223333:role/batch",
            ],
        );
        let mrap: MrapArn = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
            .parse()
            .unwrap();
        assert_eq!(mrap.account(), "111122223333");
        assert_eq!(mrap.alias(), "mfzwi23gnjvgw.mrap");
        assert_eq!(mrap.stem(), "mfzwi23gnjvgw");
        let alarm: AlarmArn = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a:b c"
            .parse()
            .unwrap();
        assert_eq!(alarm.name(), "a:b c");
        assert_eq!(alarm.region().unwrap().as_str(), "us-east-1");
    }

    #[test]
    fn members() {
        let members: Members = "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap();
        assert_eq!(members.home().region.as_str(), "us-east-1");
        assert_eq!(members.to_string(), "app-use1@us-east-1,app-euw1@eu-west-1");
        for rejected in [
            "app-use1@us-east-1",
            "app-use1@us-east-1,app-x@us-east-1",
            "app-use1@us-east-1,app-use1@eu-west-1",
            "app-use1,app-euw1@eu-west-1",
            "",
        ] {
            assert!(rejected.parse::<Members>().is_err(), "{rejected:?}");
        }
    }
}
