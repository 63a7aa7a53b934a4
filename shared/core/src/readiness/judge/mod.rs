//! What each check says about what was read.

mod members;
mod ourselves;
mod pairs;
mod plane;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::announce::Severity;
use crate::evidence::{Evidence, Observer};
use crate::names::{BucketName, Region};
use crate::readiness::check::Check;
use crate::readiness::finding::{Broken, Judged, Verdict};
use crate::readiness::inventory::{BucketLook, Inventory, Looked};
use crate::settings::ReadinessSettings;

/// Evidence older than this says nothing about canaries.
const EVIDENCE_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Every check's word on every subject. What is not there to be judged is left out. `before` is
/// what could not be read the last time.
pub(super) fn judge(
    inventory: &Inventory,
    settings: &ReadinessSettings,
    before: &BTreeSet<&str>,
    now: Timestamp,
) -> Vec<Judged> {
    let evidence = &evidence(inventory, now);
    let mut bench = Bench {
        inventory,
        evidence,
        settings,
        before,
        now,
        judged: Vec::new(),
    };
    bench.members();
    bench.pairs();
    bench.plane();
    bench.ourselves();
    bench.judged
}

struct Bench<'a> {
    inventory: &'a Inventory,
    /// What the health check and its witness say together.
    evidence: &'a Looked<Evidence>,
    settings: &'a ReadinessSettings,
    /// What could not be read the last time.
    before: &'a BTreeSet<&'a str>,
    now: Timestamp,
    judged: Vec<Judged>,
}

fn evidence(inventory: &Inventory, now: Timestamp) -> Looked<Evidence> {
    let (control, witness) = (inventory.evidence.found(), inventory.witness.found());
    match Evidence::agreed(control, witness, now, EVIDENCE_MAX_AGE) {
        Some(agreed) => Looked::Found(agreed),
        None => inventory.evidence.clone(),
    }
}

/// What an ordered pair of members is called.
pub(super) fn pair_of(source: &BucketName, target: &BucketName) -> String {
    format!("{source} to {target}")
}

impl Bench<'_> {
    /// The evidence, if anybody is there who can be believed.
    fn believable(&self) -> Option<&Evidence> {
        self.evidence.found().filter(|evidence| {
            evidence.observer == Observer::Well && evidence.is_fresh(self.now, EVIDENCE_MAX_AGE)
        })
    }

    fn verdict(&mut self, check: Check, subject: &str, verdict: Verdict) {
        self.judged.push(Judged {
            check,
            subject: subject.to_owned(),
            verdict,
        });
    }

    /// A broken expectation, or a sound one.
    fn rule(&mut self, check: Check, subject: &str, broken: Option<Broken>) {
        let verdict = broken.map_or(Verdict::Sound, |broken| Verdict::Broken(Box::new(broken)));
        self.verdict(check, subject, verdict);
    }
}

/// A bucket that is where it should be: nothing is said about the others' configuration.
fn is_there(look: &BucketLook) -> bool {
    look.place
        .found()
        .is_some_and(|place| place.is(&look.member.region))
}

/// What was told; `None` within if there is none, and outside if that is not known, which is put
/// on record.
#[expect(
    clippy::option_option,
    reason = "not told, told that there is none, and told are three things"
)]
fn read_of<'a, T>(
    bench: &mut Bench<'_>,
    check: Check,
    subject: &str,
    of: &'a Looked<T>,
) -> Option<Option<&'a T>> {
    match of {
        Looked::Found(it) => Some(Some(it)),
        Looked::Absent => Some(None),
        Looked::Denied { .. } | Looked::Failed { .. } => {
            bench.verdict(check, subject, Verdict::Unread);
            None
        }
    }
}

/// A broken expectation that makes no Region unfit.
fn broken(
    severity: Severity,
    evidence: impl Into<String>,
    consequence: &str,
    remedy: impl Into<String>,
) -> Broken {
    Broken {
        severity,
        targets: Vec::new(),
        leaving: None,
        evidence: evidence.into(),
        parts: BTreeSet::new(),
        consequence: consequence.to_owned(),
        remedy: remedy.into(),
    }
}

impl Broken {
    /// It makes this Region unfit.
    fn unfit(mut self, region: &Region) -> Self {
        self.targets.push(region.clone());
        self
    }

    /// It is about these.
    fn of<T: ToString>(mut self, parts: impl IntoIterator<Item = T>) -> Self {
        self.parts = parts.into_iter().map(|part| part.to_string()).collect();
        self
    }

    /// Only for those who leave that one.
    fn leaving(mut self, region: &Region) -> Self {
        self.leaving = Some(region.clone());
        self
    }
}

/// A list for people, each entry once, in order.
fn listed<T: Ord + std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: BTreeSet<T> = items.into_iter().collect();
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// `aws s3api …` about one bucket.
fn s3api(command: &str, region: &Region, bucket: &str, rest: &str) -> String {
    let line = format!("aws s3api {command} --region {region} --bucket {bucket} {rest}");
    line.trim_end().to_owned()
}
