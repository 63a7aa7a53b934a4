//! The report: what was found, what changed since the one before, and what it means for a
//! failover.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::announce::{Announcement, Severity};
use crate::decide::{Drift, Unfit};
use crate::names::{Member, MrapArn, Region};
use crate::readiness::check::Check;
use crate::readiness::finding::{Broken, Finding, Judged, Verdict};
use crate::readiness::inventory::{Inventory, Looked, Records, Trouble, Unread, routes_at};
use crate::readiness::judge::{judge, pair_of};
use crate::settings::ReadinessSettings;

/// Where the report stands in the state bucket.
pub const REPORT_KEY: &str = "drift.json";

/// Version of the report's form.
pub const REPORT_SCHEMA: u32 = 1;

/// A report older than this says nothing about a failover: it is made every hour.
pub const REPORT_MAX_AGE: SignedDuration = SignedDuration::from_hours(3);

/// The latest report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this document's form: 1.
    pub schema: u32,
    /// Whose.
    pub mrap: MrapArn,
    /// The members that were looked at; none in a report of before they were put down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// When it was looked.
    pub observed_at: Timestamp,
    /// What is not as it should be, the worst first.
    pub findings: Vec<Finding>,
    /// How much was judged: each check counts once for each of its subjects.
    pub checked: usize,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// Critical checks that could not be made, and of which nothing was found before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Unchecked>,
    /// When things were last tried; nothing if the failover function's document cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// When the last digest was written.
    pub digest_at: Timestamp,
    /// What waits to be published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Announcement>,
    /// Which write made this document.
    pub written_by: String,
}

/// A critical check that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// Check and subject.
    pub id: String,
    /// The Region that it would make unfit to serve, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Region>,
    /// It would do so only for those who leave this Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Region>,
    /// When it was last made, and found nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_at: Option<Timestamp>,
}

impl Unchecked {
    /// Whether what it would say is not known: what was sound a short while ago counts, as a
    /// report of that time would.
    #[must_use]
    pub fn is_unknown(&self, now: Timestamp) -> bool {
        self.sound_at
            .is_none_or(|at| now.duration_since(at) > REPORT_MAX_AGE)
    }

    fn is_of(&self, check: Check) -> bool {
        let name = self.id.split_once('/').map(|(name, _)| name);
        name == Some(check.name())
    }
}

/// When the ways that a failover takes were last gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The last self-test of the alarms that arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test: Option<Timestamp>,
    /// The last change of the routes that this machine made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Timestamp>,
    /// The last rehearsal that went over and back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Timestamp>,
}

impl Tried {
    fn of(records: &Looked<Records>) -> Option<Self> {
        let records = match records {
            Looked::Found(records) => records,
            Looked::Absent => return Some(Self::default()),
            Looked::Denied { .. } | Looked::Failed { .. } => return None,
        };
        Some(Self {
            self_test: records.self_test,
            last_change: records.last_change,
            rehearsed: records.rehearsed,
        })
    }
}

/// Clocks of two hosts may differ by so much; a report further in the future is of a wrong one.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Why a stored report cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is not what this version writes.
    #[error("{REPORT_KEY} cannot be understood: {0}")]
    Torn(String),
    /// A later version wrote it.
    #[error(
        "{REPORT_KEY} has schema {0}, this version understands {REPORT_SCHEMA} and replaces no other: deploy a later version again, or delete it"
    )]
    Schema(u64),
    /// It is about another access point.
    #[error("{REPORT_KEY} is about {0}: two stacks must not share a state bucket")]
    Foreign(MrapArn),
}

/// What is different from the report before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Found for the first time.
    pub new: Vec<Finding>,
    /// Found before, and graver now.
    pub worse: Vec<Finding>,
    /// Found before, and in order now.
    pub fixed: Vec<Finding>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.worse.is_empty() && self.fixed.is_empty()
    }
}

/// Judges what was read, and compares it with the report before.
#[must_use]
pub fn assess(
    inventory: &Inventory,
    settings: &ReadinessSettings,
    previous: Option<&Report>,
    now: Timestamp,
) -> (Report, Changes) {
    let unread: Vec<Unread> = inventory
        .troubles()
        .into_iter()
        .map(|(what, trouble)| Unread {
            what,
            detail: match trouble {
                Trouble::Denied { action } => format!("not allowed: {action}"),
                Trouble::Failed { detail } => detail,
            },
        })
        .collect();
    let unread_before: BTreeSet<&str> = previous
        .into_iter()
        .flat_map(|report| &report.unread)
        .map(|unread| unread.what.as_str())
        .collect();
    let mut judged = judge(inventory, settings, &unread_before, now);
    judged.extend(unreadable(inventory, &unread_before));
    let before: BTreeMap<&str, &Finding> = previous
        .into_iter()
        .flat_map(|report| &report.findings)
        .map(|finding| (finding.id.as_str(), finding))
        .collect();
    let mut findings: BTreeMap<String, Finding> = BTreeMap::new();
    let mut sound = BTreeSet::new();
    let mut checked = 0_usize;
    for one in &judged {
        let id = one.id();
        let known = before.get(id.as_str()).copied();
        match &one.verdict {
            Verdict::Sound => {
                checked = checked.saturating_add(1);
                sound.insert(id);
            }
            Verdict::Broken(broken) => {
                checked = checked.saturating_add(1);
                let since = known.map_or(now, |known| known.since.min(now));
                findings.insert(id.clone(), found(id, one, broken, since));
            }
            Verdict::Unread => {
                if let Some(known) = known {
                    let mut stays = known.clone();
                    stays.unconfirmed = true;
                    findings.insert(id, stays);
                }
            }
        }
    }
    keep_unanswered(&mut findings, &before, inventory);
    let mut changes = Changes::default();
    for finding in findings.values() {
        match before.get(finding.id.as_str()) {
            None => changes.new.push(finding.clone()),
            Some(known)
                if finding.severity > known.severity || !finding.parts.is_subset(&known.parts) =>
            {
                changes.worse.push(finding.clone());
            }
            Some(_) => {}
        }
    }
    for (id, known) in &before {
        // Of permissions and unreadable things only those in trouble are named.
        let fixed =
            sound.contains(*id) || matches!(known.check, Check::Permission | Check::Readable);
        if fixed && !findings.contains_key(*id) {
            changes.fixed.push((*known).clone());
        }
    }
    let unchecked = unchecked(&judged, &findings, settings, previous);
    let mut findings: Vec<Finding> = findings.into_values().collect();
    for list in [
        &mut findings,
        &mut changes.new,
        &mut changes.worse,
        &mut changes.fixed,
    ] {
        list.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    let report = Report {
        schema: REPORT_SCHEMA,
        mrap: settings.mrap.clone(),
        members: settings.members.iter().cloned().collect(),
        observed_at: now,
        findings,
        checked,
        unread,
        unchecked,
        tried: Tried::of(&inventory.records),
        digest_at: previous.map_or(now, |report| report.digest_at.min(now)),
        outbox: previous.map_or_else(Vec::new, |report| report.outbox.clone()),
        written_by: String::new(),
    };
    (report, changes)
}

/// What a permission's finding was about and got no answer this time may be refused still.
fn keep_unanswered(
    findings: &mut BTreeMap<String, Finding>,
    before: &BTreeMap<&str, &Finding>,
    inventory: &Inventory,
) {
    let troubles = inventory.troubles();
    let failed = |part: &&String| matches!(troubles.get(*part), Some(Trouble::Failed { .. }));
    let before = before.values();
    for known in before.filter(|known| known.check == Check::Permission) {
        let unanswered: BTreeSet<String> = known.parts.iter().filter(failed).cloned().collect();
        if unanswered.is_empty() {
            continue;
        }
        let stays = findings.entry(known.id.clone());
        let stays = stays.or_insert_with(|| Finding {
            unconfirmed: true,
            ..(*known).clone()
        });
        stays.parts.extend(unanswered);
    }
}

/// The critical checks that could not be made.
fn unchecked(
    judged: &[Judged],
    findings: &BTreeMap<String, Finding>,
    settings: &ReadinessSettings,
    previous: Option<&Report>,
) -> Vec<Unchecked> {
    // Whom the findings about a bucket, or about an ordered pair of them, make unfit.
    let mut unfit: BTreeMap<String, (&Member, Option<&Member>)> = BTreeMap::new();
    for target in &settings.members {
        unfit.insert(target.bucket.to_string(), (target, None));
        for source in &settings.members {
            let pair = pair_of(&source.bucket, &target.bucket);
            unfit.insert(pair, (target, Some(source)));
        }
    }
    // What the report before was not about it did not find sound.
    let is_new = |member: &Member| {
        previous
            .is_some_and(|report| !report.members.is_empty() && !report.members.contains(member))
    };
    judged
        .iter()
        .filter(|one| one.verdict == Verdict::Unread)
        // An endpoint that is silent is critical only if all are, and then nobody tells the routes.
        .filter(|one| {
            one.check.worst() == Severity::Critical && one.check != Check::ControlEndpoint
        })
        .filter_map(|one| {
            let id = one.id();
            if findings.contains_key(&id) {
                return None;
            }
            let (target, leaving) = unfit
                .get(&one.subject)
                .map_or((None, None), |(target, leaving)| (Some(*target), *leaving));
            let before = previous.map(|report| {
                let mut unchecked = report.unchecked.iter();
                let too = unchecked.find(|unchecked| unchecked.id == id);
                too.map_or(Some(report.observed_at), |too| too.sound_at)
            });
            let about_new = target.into_iter().chain(leaving).any(is_new);
            Some(Unchecked {
                id,
                target: target.map(|member| member.region.clone()),
                leaving: leaving.map(|member| member.region.clone()),
                sound_at: before.flatten().filter(|_| !about_new),
            })
        })
        .collect()
}

/// The worst first, then by check and subject: the same findings always stand in the same order.
fn order(finding: &Finding) -> (std::cmp::Reverse<Severity>, Check, &str) {
    (
        std::cmp::Reverse(finding.severity),
        finding.check,
        &finding.subject,
    )
}

fn found(id: String, judged: &Judged, broken: &Broken, since: Timestamp) -> Finding {
    Finding {
        id,
        check: judged.check,
        severity: broken.severity,
        subject: judged.subject.clone(),
        targets: broken.targets.clone(),
        leaving: broken.leaving.clone(),
        evidence: broken.evidence.clone(),
        parts: broken.parts.clone(),
        consequence: broken.consequence.clone(),
        remedy: broken.remedy.clone(),
        since,
        unconfirmed: false,
    }
}

/// One look that got no answer is nothing to tell people of; the second one in a row is.
fn unreadable(inventory: &Inventory, before: &BTreeSet<&str>) -> Vec<Judged> {
    // Endpoints have a check of their own.
    let endpoints = inventory.endpoints.iter();
    let endpoints: BTreeSet<String> = endpoints.map(|(region, _)| routes_at(region)).collect();
    let mut judged: Vec<Judged> = inventory
        .troubles()
        .into_iter()
        .filter(|(what, _)| before.contains(what.as_str()) && !endpoints.contains(what))
        .filter_map(|(what, trouble)| {
            let Trouble::Failed { detail } = trouble else {
                return None; // a finding of its own
            };
            let broken = Broken {
                severity: Severity::Warning,
                targets: Vec::new(),
                leaving: None,
                evidence: format!("{what} could not be read twice in a row: {detail}"),
                parts: BTreeSet::new(),
                consequence: "What is wrong there is not found before it hurts.".to_owned(),
                remedy: "aws lambda invoke --function-name \"$READINESS_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{\"command\":\"readiness\"}' /dev/stdout # to look again".to_owned(),
            };
            Some(Judged {
                check: Check::Readable,
                subject: what,
                verdict: Verdict::Broken(Box::new(broken)),
            })
        })
        .collect();
    judged.push(Judged {
        check: Check::Readable,
        subject: "all".to_owned(),
        verdict: Verdict::Sound,
    });
    judged
}

impl Report {
    /// Reads a stored report.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn parse(document: Value, mrap: &MrapArn) -> Result<Self, ReportError> {
        match document.get("schema").and_then(Value::as_u64) {
            Some(schema) if schema != u64::from(REPORT_SCHEMA) => {
                return Err(ReportError::Schema(schema));
            }
            _ => {}
        }
        let report: Self = serde_json::from_value(document)
            .map_err(|error| ReportError::Torn(error.to_string()))?;
        if report.mrap == *mrap {
            Ok(report)
        } else {
            Err(ReportError::Foreign(report.mrap))
        }
    }

    /// Whether the clock of whoever wrote it, or ours, is wrong by more than a minute.
    #[must_use]
    pub fn is_of_the_future(&self, now: Timestamp) -> bool {
        self.observed_at.duration_since(now) > CLOCK_SKEW
    }

    /// What it says about a failover: nothing if it is too old, or of the future.
    #[must_use]
    pub fn drift(&self, now: Timestamp) -> Drift {
        if now.duration_since(self.observed_at) > REPORT_MAX_AGE || self.is_of_the_future(now) {
            return Drift::Unknown;
        }
        let mut unknown: BTreeMap<Region, Vec<Unfit>> = BTreeMap::new();
        // Whether canaries arrive the failover sees for itself, by later evidence.
        let unknown_here = self.unknown(now);
        for unchecked in unknown_here.filter(|one| !one.is_of(Check::CanaryArrives)) {
            if let Some(target) = &unchecked.target {
                unknown.entry(target.clone()).or_default().push(Unfit {
                    leaving: unchecked.leaving.clone(),
                    what: unchecked.id.clone(),
                });
            }
        }
        let mut findings: BTreeMap<Region, Vec<Unfit>> = BTreeMap::new();
        for finding in &self.findings {
            if finding.severity < Severity::Critical {
                continue;
            }
            for target in &finding.targets {
                findings.entry(target.clone()).or_default().push(Unfit {
                    leaving: finding.leaving.clone(),
                    what: format!("{}: {}", finding.name(), finding.evidence),
                });
            }
        }
        Drift::Known {
            observed_at: self.observed_at,
            findings,
            unknown,
        }
    }

    /// The critical checks of which nobody knows what they would say.
    pub fn unknown(&self, now: Timestamp) -> impl Iterator<Item = &Unchecked> {
        self.unmade().filter(move |one| one.is_unknown(now))
    }

    /// The critical checks that could not be made. Of a Region that is found unfit anyway they would
    /// say nothing new.
    pub fn unmade(&self) -> impl Iterator<Item = &Unchecked> {
        let is_unfit = |one: &Unchecked| {
            let mut findings = self.findings.iter();
            findings.any(|finding| {
                let counts = finding.leaving.is_none() || finding.leaving == one.leaving;
                let target = one.target.as_ref();
                counts && target.is_some_and(|target| finding.targets.contains(target))
            })
        };
        let unchecked = self.unchecked.iter();
        unchecked.filter(move |one| !is_unfit(one))
    }

    /// How many findings there are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let of_it = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(of_it).count()
    }
}
