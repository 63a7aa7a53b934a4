//! The settings of the `redrive` function.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::reader::{Reader, invalid};
use super::{DAY, SettingsError};
use crate::names::{BucketName, Member, Members, MrapArn, NameError, Region, RoleArn, TopicArn};

/// What the `redrive` function may do by itself. Does not limit an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedriveMode {
    /// Collect, tell, and say what would be done; create no job.
    Observe,
    /// Create jobs.
    Automatic,
}

/// The bucket for manifests and reports in each member's Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkBuckets(BTreeMap<Region, BucketName>);

impl WorkBuckets {
    /// Checks that every member Region has exactly one, and that none is a member.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn new(buckets: Vec<Member>, members: &Members) -> Result<Self, NameError> {
        let refuse = |text: String| Err(NameError::Members(text));
        let mut by_region = BTreeMap::new();
        for Member { bucket, region } in buckets {
            if members.with_bucket(bucket.as_str()).is_some() {
                return refuse(format!(
                    "{bucket} is a member: manifests and reports would be replicated as if they were data; name another bucket in {region}"
                ));
            }
            if members.in_region(&region).is_none() {
                return refuse(format!(
                    "{bucket} is said to lie in {region}, where no member is"
                ));
            }
            if let Some(first) = by_region.insert(region.clone(), bucket.clone()) {
                return refuse(format!(
                    "{region} has two work buckets, {first} and {bucket}: name one"
                ));
            }
        }
        match members
            .regions()
            .find(|region| !by_region.contains_key(region))
        {
            Some(region) => refuse(format!(
                "{region} has no work bucket: a job needs its manifest in the Region of its source"
            )),
            None => Ok(Self(by_region)),
        }
    }

    /// The work bucket in this Region.
    #[must_use]
    pub fn in_region(&self, region: &Region) -> Option<&BucketName> {
        self.0.get(region)
    }
}

/// Numbers that bound re-drives; the environment variables carry the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedriveThresholds {
    /// `REDRIVE_JOBS`: jobs that are open at once, over all Regions.
    pub jobs: usize,
    /// `REDRIVE_SAMPLE_OBJECTS`: versions of one group in a sample.
    pub sample_objects: u64,
    /// `REDRIVE_SAMPLE_SECONDS`: from a group's first failure to its first sample.
    pub sample: SignedDuration,
    /// `REDRIVE_SAMPLE_MAX_SECONDS`: what the doubling interval between samples ends at.
    pub sample_max: SignedDuration,
    /// `REDRIVE_BATCH_OBJECTS`: so many released versions of a source are worth a job at once.
    pub batch_objects: u64,
    /// `REDRIVE_BATCH_SECONDS`: so long released versions wait for others at most.
    pub batch: SignedDuration,
    /// `REDRIVE_JOB_OBJECTS`: versions in one manifest.
    pub job_objects: u64,
    /// `REDRIVE_ATTEMPTS`: jobs that one version goes through before a person has to see to it.
    pub attempts: u32,
    /// `REDRIVE_AGE_DAYS`: how long after its failure a version is handed to a person.
    pub age: SignedDuration,
    /// `REDRIVE_DAILY_DOLLARS`: what jobs may cost in a rolling day.
    pub daily_dollars: u32,
    /// `REDRIVE_BREAKER_JOBS`: failed jobs in a row that stop further ones.
    pub breaker_jobs: u32,
    /// `REDRIVE_PROOF_OBJECTS`: versions of a job that are asked for in their destination.
    pub proof_objects: u64,
    /// `REDRIVE_PROOF_SECONDS`: how long a version that was initiated may stay pending.
    pub proof: SignedDuration,
    /// `GROUP_SWEEP_THRESHOLD`: rows of one group that are kept; beyond them it is swept.
    pub group_sweep: u64,
}

impl Default for RedriveThresholds {
    fn default() -> Self {
        Self {
            jobs: 4,
            sample_objects: 10,
            sample: SignedDuration::from_secs(900),
            sample_max: SignedDuration::from_secs(43_200),
            batch_objects: 100_000,
            batch: SignedDuration::from_secs(900),
            job_objects: 10_000_000,
            attempts: 10,
            age: SignedDuration::from_hours(30 * 24),
            daily_dollars: 50,
            breaker_jobs: 3,
            proof_objects: 1000,
            proof: SignedDuration::from_secs(3600),
            group_sweep: 20_000_000,
        }
    }
}

/// Everything that the `redrive` function is told from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct RedriveSettings {
    /// `MRAP_ARN`.
    pub mrap: MrapArn,
    /// `MEMBERS`, home first.
    pub members: Members,
    /// `STATE_BUCKET`.
    pub state_bucket: BucketName,
    /// `TOPIC_ARNS`, at least one.
    pub topics: Vec<TopicArn>,
    /// `WORK_BUCKETS`.
    pub work_buckets: WorkBuckets,
    /// `BATCH_ROLE_ARN`.
    pub batch_role: RoleArn,
    /// `REDRIVE`.
    pub mode: RedriveMode,
    /// The thresholds.
    pub thresholds: RedriveThresholds,
}

impl RedriveSettings {
    /// Reads the settings through `lookup`, which answers for environment variables.
    ///
    /// # Errors
    /// The first variable that is missing or invalid, named.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let read = Reader(lookup);
        let mrap = read.mrap()?;
        let members = read.members()?;
        let work_buckets = work_buckets(&read, &members)?;
        let batch_role: RoleArn = read.parsed(
            "BATCH_ROLE_ARN",
            "the role that S3 Batch Operations assumes",
        )?;
        if batch_role.account() != mrap.account() {
            return Err(invalid(
                "BATCH_ROLE_ARN",
                format!(
                    "{batch_role} belongs to another account than the access point ({}): a job takes only a role of its own account",
                    mrap.account()
                ),
            ));
        }
        Ok(Self {
            state_bucket: read.state_bucket()?,
            topics: read.topics()?,
            mode: read.word("REDRIVE", RedriveMode::Observe, "observe, automatic")?,
            thresholds: thresholds(&read)?,
            mrap,
            members,
            work_buckets,
            batch_role,
        })
    }

    /// The Region of a member's bucket.
    #[must_use]
    pub fn region_of(&self, bucket: &BucketName) -> Option<&Region> {
        self.members
            .with_bucket(bucket.as_str())
            .map(|member| &member.region)
    }
}

/// `WORK_BUCKETS`.
pub(super) fn work_buckets<F: Fn(&str) -> Option<String>>(
    read: &Reader<F>,
    members: &Members,
) -> Result<WorkBuckets, SettingsError> {
    let expected = "bucket@region,bucket@region,…, one for each member's Region";
    read.required("WORK_BUCKETS", expected)?
        .split(',')
        .map(|part| part.trim().parse())
        .collect::<Result<Vec<Member>, _>>()
        .and_then(|buckets| WorkBuckets::new(buckets, members))
        .map_err(|error| invalid("WORK_BUCKETS", error.to_string()))
}

fn thresholds<F: Fn(&str) -> Option<String>>(
    read: &Reader<F>,
) -> Result<RedriveThresholds, SettingsError> {
    let default = RedriveThresholds::default();
    let thresholds = RedriveThresholds {
        jobs: read.count("REDRIVE_JOBS", default.jobs, 1, 6, "jobs")?,
        sample_objects: read.count(
            "REDRIVE_SAMPLE_OBJECTS",
            default.sample_objects,
            1,
            100,
            "objects",
        )?,
        sample: read.seconds("REDRIVE_SAMPLE_SECONDS", default.sample, 60, 7 * DAY)?,
        sample_max: read.seconds(
            "REDRIVE_SAMPLE_MAX_SECONDS",
            default.sample_max,
            60,
            7 * DAY,
        )?,
        batch_objects: read.count(
            "REDRIVE_BATCH_OBJECTS",
            default.batch_objects,
            1,
            10_000_000,
            "objects",
        )?,
        batch: read.seconds("REDRIVE_BATCH_SECONDS", default.batch, 0, DAY)?,
        job_objects: read.count(
            "REDRIVE_JOB_OBJECTS",
            default.job_objects,
            1000,
            40_000_000,
            "objects",
        )?,
        attempts: read.count("REDRIVE_ATTEMPTS", default.attempts, 1, 100, "attempts")?,
        age: SignedDuration::from_secs(
            DAY * read.whole(
                "REDRIVE_AGE_DAYS",
                default.age.as_secs() / DAY,
                1,
                365,
                "days",
            )?,
        ),
        daily_dollars: read.count(
            "REDRIVE_DAILY_DOLLARS",
            default.daily_dollars,
            1,
            100_000,
            "dollars",
        )?,
        breaker_jobs: read.count("REDRIVE_BREAKER_JOBS", default.breaker_jobs, 1, 20, "jobs")?,
        proof_objects: read.count(
            "REDRIVE_PROOF_OBJECTS",
            default.proof_objects,
            1,
            100_000,
            "objects",
        )?,
        proof: read.seconds("REDRIVE_PROOF_SECONDS", default.proof, 60, 7 * DAY)?,
        group_sweep: read.count(
            "GROUP_SWEEP_THRESHOLD",
            default.group_sweep,
            100_000,
            40_000_000,
            "rows",
        )?,
    };
    if thresholds.sample_max < thresholds.sample {
        return Err(invalid(
            "REDRIVE_SAMPLE_MAX_SECONDS",
            "must not be shorter than REDRIVE_SAMPLE_SECONDS, which it bounds".to_owned(),
        ));
    }
    Ok(thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            (
                "MRAP_ARN",
                "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            ),
            ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
            ("STATE_BUCKET", "sentinel-state"),
            (
                "TOPIC_ARNS",
                "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
            ),
            ("WORK_BUCKETS", "work-use1@us-east-1, work-euw1@eu-west-1"),
            (
                "BATCH_ROLE_ARN",
                "arn:aws:iam::111122223333:role/mrap-sentinel-batch",
            ),
        ])
    }

    fn read(variables: &BTreeMap<&str, &str>) -> Result<RedriveSettings, SettingsError> {
        RedriveSettings::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_fresh_deployment_only_observes() {
        let settings = read(&minimal()).unwrap();
        assert_eq!(settings.mode, RedriveMode::Observe);
        assert_eq!(settings.thresholds, RedriveThresholds::default());
        let region = "eu-west-1".parse().unwrap();
        assert_eq!(
            settings.work_buckets.in_region(&region).unwrap().as_str(),
            "work-euw1"
        );
    }

    #[test]
    fn every_variable_reaches_its_threshold() {
        let mut variables = minimal();
        variables.extend([
            ("REDRIVE", "automatic"),
            ("REDRIVE_JOBS", "6"),
            ("REDRIVE_SAMPLE_OBJECTS", "1"),
            ("REDRIVE_SAMPLE_SECONDS", "60"),
            ("REDRIVE_SAMPLE_MAX_SECONDS", "61"),
            ("REDRIVE_BATCH_OBJECTS", "2"),
            ("REDRIVE_BATCH_SECONDS", "0"),
            ("REDRIVE_JOB_OBJECTS", "1000"),
            ("REDRIVE_ATTEMPTS", "3"),
            ("REDRIVE_AGE_DAYS", "4"),
            ("REDRIVE_DAILY_DOLLARS", "5"),
            ("REDRIVE_BREAKER_JOBS", "7"),
            ("REDRIVE_PROOF_OBJECTS", "8"),
            ("REDRIVE_PROOF_SECONDS", "62"),
            ("GROUP_SWEEP_THRESHOLD", "100000"),
        ]);
        let settings = read(&variables).unwrap();
        assert_eq!(settings.mode, RedriveMode::Automatic);
        assert_eq!(
            settings.thresholds,
            RedriveThresholds {
                jobs: 6,
                sample_objects: 1,
                sample: SignedDuration::from_secs(60),
                sample_max: SignedDuration::from_secs(61),
                batch_objects: 2,
                batch: SignedDuration::ZERO,
                job_objects: 1000,
                attempts: 3,
                age: SignedDuration::from_hours(96),
                daily_dollars: 5,
                breaker_jobs: 7,
                proof_objects: 8,
                proof: SignedDuration::from_secs(62),
                group_sweep: 100_000,
            }
        );
    }

    #[test]
    fn every_refusal_names_its_variable() {
        for (name, value) in [
            ("MRAP_ARN", ""),
            ("MEMBERS", "app-use1@us-east-1"),
            ("STATE_BUCKET", ""),
            ("TOPIC_ARNS", ""),
            ("TOPIC_ARNS", "mail@example.com"),
            ("WORK_BUCKETS", ""),
            ("WORK_BUCKETS", "work-use1"),
            ("WORK_BUCKETS", "work-use1@us-east-1"),
            ("WORK_BUCKETS", "work-use1@us-east-1,x-use1@us-east-1"),
            ("WORK_BUCKETS", "work-use1@us-east-1,app-euw1@eu-west-1"),
            (
                "WORK_BUCKETS",
                "work-use1@us-east-1,work-euw1@eu-west-1,work-aps1@ap-south-1",
            ),
            ("BATCH_ROLE_ARN", ""),
            ("BATCH_ROLE_ARN", "mrap-sentinel-batch"),
            (
                "BATCH_ROLE_ARN",
                "arn:aws:iam::999922223333:role/mrap-sentinel-batch",
            ),
            ("REDRIVE", "manual"),
            ("REDRIVE_JOBS", "7"),
            ("REDRIVE_JOBS", "0"),
            ("REDRIVE_SAMPLE_OBJECTS", "101"),
            ("REDRIVE_SAMPLE_SECONDS", "15m"),
            ("REDRIVE_SAMPLE_MAX_SECONDS", "899"),
            ("REDRIVE_BATCH_OBJECTS", "-1"),
            ("REDRIVE_BATCH_SECONDS", "86401"),
            ("REDRIVE_JOB_OBJECTS", "999"),
            ("REDRIVE_ATTEMPTS", "0"),
            ("REDRIVE_AGE_DAYS", "366"),
            ("REDRIVE_DAILY_DOLLARS", "0.5"),
            ("REDRIVE_BREAKER_JOBS", "0"),
            ("REDRIVE_PROOF_OBJECTS", "0"),
            ("REDRIVE_PROOF_SECONDS", "59"),
            ("GROUP_SWEEP_THRESHOLD", "99999"),
        ] {
            let mut variables = minimal();
            variables.insert(name, value);
            let error = read(&variables).expect_err(&format!("{name}={value}"));
            assert!(error.to_string().contains(name), "{name}={value}: {error}");
        }
    }
}
