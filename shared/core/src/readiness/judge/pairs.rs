//! Each ordered pair of members: what one replicates to the other.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{Bench, broken, is_there, listed, read_of, s3api};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::evidence::{Observer, Verdict as Probe};
use crate::readiness::check::Check;
use crate::readiness::finding::Verdict;
use crate::readiness::inventory::{BucketLook, Looked, Rule};
use crate::settings::TimeControl;

/// Evidence older than this says nothing about canaries.
const EVIDENCE_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// An ordered pair and the enabled rules from the first to the second.
struct Pair<'a> {
    source: &'a BucketLook,
    target: &'a BucketLook,
    /// All of them.
    rules: Vec<&'a Rule>,
    /// Those about the users' objects.
    data: Vec<&'a Rule>,
}

impl Pair<'_> {
    fn subject(&self) -> String {
        format!(
            "{} to {}",
            self.source.member.bucket, self.target.member.bucket
        )
    }

    /// Ids of the rules for which `is` holds.
    fn ids(&self, is: impl Fn(&Rule) -> bool) -> String {
        listed(
            self.data
                .iter()
                .filter(|rule| is(rule))
                .map(|rule| rule.id.as_str()),
        )
    }

    fn edit(&self, what: &str) -> String {
        format!(
            "{} > replication.json # {what}, then put-bucket-replication --replication-configuration file://replication.json",
            s3api(
                "get-bucket-replication",
                &self.source.member.region,
                self.source.member.bucket.as_str(),
                "--query ReplicationConfiguration"
            )
        )
    }
}

impl Bench<'_> {
    pub(super) fn pairs(&mut self) {
        let inventory = self.inventory;
        for source in &inventory.members {
            for target in &inventory.members {
                if source.member != target.member {
                    self.pair(source, target);
                }
            }
        }
        for (index, first) in inventory.members.iter().enumerate() {
            for second in inventory.members.iter().skip(index.saturating_add(1)) {
                self.both_ways(first, second);
            }
        }
    }

    fn rules_to<'a>(&self, source: &'a BucketLook, target: &'a BucketLook) -> Option<Pair<'a>> {
        let rules = match &source.replication {
            Looked::Found(rules) => rules.as_slice(),
            Looked::Absent => &[],
            Looked::Denied { .. } | Looked::Failed { .. } => return None,
        };
        let rules: Vec<&Rule> = rules
            .iter()
            .filter(|rule| rule.enabled && rule.destination == target.member.bucket.as_str())
            .collect();
        let data = rules
            .iter()
            .copied()
            .filter(|rule| !self.is_of_canaries(&rule.scope))
            .collect();
        Some(Pair {
            source,
            target,
            rules,
            data,
        })
    }

    fn pair(&mut self, source: &BucketLook, target: &BucketLook) {
        let pair = self.rules_to(source, target).filter(|_| is_there(source));
        let Some(pair) = pair else {
            let subject = format!("{} to {}", source.member.bucket, target.member.bucket);
            for check in [
                Check::Rule,
                Check::KmsReplication,
                Check::KmsReplicaKey,
                Check::RuleForm,
                Check::RuleMetrics,
                Check::TimeControl,
                Check::CanaryScope,
            ] {
                self.verdict(check, &subject, Verdict::Unread);
            }
            return;
        };
        self.rule_exists(&pair);
        self.object_lock(&pair);
        // Without a rule there is nothing to say about its switches.
        if !pair.data.is_empty() {
            self.kms_replication(&pair);
            self.kms_replica_key(&pair);
            self.rule_form(&pair);
            self.rule_metrics(&pair);
            self.time_control(&pair);
            self.canary_scope(&pair);
        }
        self.canary_arrives(&pair);
    }

    fn rule_exists(&mut self, pair: &Pair<'_>) {
        let (source, target) = (&pair.source.member, &pair.target.member);
        let found = pair.data.is_empty().then(|| {
            let disabled = listed(
                pair.source
                    .replication
                    .found()
                    .into_iter()
                    .flatten()
                    .filter(|rule| rule.destination == target.bucket.as_str() && !rule.enabled)
                    .map(|rule| rule.id.as_str()),
            );
            let evidence = match (disabled.is_empty(), pair.source.replication.found()) {
                (false, _) => format!(
                    "the rule {disabled} from {} to {} is disabled",
                    source.bucket, target.bucket
                ),
                (true, None) => format!("{} has no replication configuration", source.bucket),
                (true, Some(_)) => format!(
                    "no replication rule leads from {} to {}",
                    source.bucket, target.bucket
                ),
            };
            broken(
                Critical,
                evidence,
                "What is written in the first is missing in the second: a failover between them loses it.",
                pair.edit("add or enable the rule"),
            )
            .unfit(&target.region)
            .leaving(&source.region)
        });
        self.rule(Check::Rule, &pair.subject(), found);
    }

    fn object_lock(&mut self, pair: &Pair<'_>) {
        let (check, subject) = (Check::ObjectLock, pair.subject());
        let (source, target) = (&pair.source.member, &pair.target.member);
        let Some(here) = read_of(self, check, &subject, &pair.source.object_lock) else {
            return;
        };
        let Some(there) = read_of(self, check, &subject, &pair.target.object_lock) else {
            return;
        };
        let locked = |lock: Option<&bool>| lock == Some(&true);
        let found = (locked(here) && !locked(there)).then(|| {
            broken(
                Critical,
                format!(
                    "{} has Object Lock, {} has not",
                    source.bucket, target.bucket
                ),
                "Nothing replicates into the bucket without it (DstBucketObjectLockConfigMissing).",
                s3api(
                    "put-object-lock-configuration",
                    &target.region,
                    target.bucket.as_str(),
                    "--object-lock-configuration ObjectLockEnabled=Enabled",
                ),
            )
            .unfit(&target.region)
            .leaving(&source.region)
        });
        self.rule(check, &subject, found);
    }

    fn kms_replication(&mut self, pair: &Pair<'_>) {
        let (check, subject) = (Check::KmsReplication, pair.subject());
        let (source, target) = (&pair.source.member, &pair.target.member);
        let Some(encryption) = read_of(self, check, &subject, &pair.source.encryption) else {
            return;
        };
        let without = pair.ids(|rule| !rule.kms_objects);
        let found = encryption
            .filter(|one| one.is_kms() && !without.is_empty())
            .map(|encryption| {
                broken(
                    Critical,
                    format!(
                        "{} encrypts with {}, and {without} does not replicate such objects",
                        source.bucket, encryption.algorithm
                    ),
                    "New objects are silently never replicated: no failure, no event, no metric tells of it.",
                    pair.edit("set SourceSelectionCriteria.SseKmsEncryptedObjects and Destination.EncryptionConfiguration.ReplicaKmsKeyID"),
                )
                .unfit(&target.region)
                .leaving(&source.region)
            });
        self.rule(check, &subject, found);
    }

    fn kms_replica_key(&mut self, pair: &Pair<'_>) {
        let (source, target) = (&pair.source.member, &pair.target.member);
        let wrong: BTreeSet<String> = pair
            .rules
            .iter()
            .filter(|rule| rule.kms_objects)
            .filter_map(|rule| {
                let id = &rule.id;
                let Some(key) = rule.replica_key.as_deref() else {
                    return Some(format!("{id} names no key for the replicas"));
                };
                let mut parts = key.split(':');
                match (parts.nth(2), parts.next()) {
                    (Some("kms"), Some(region)) if region == target.region.as_str() => None,
                    (Some("kms"), Some(region)) => Some(format!(
                        "{id} encrypts replicas with a key of {region}, the replicas lie in {}",
                        target.region
                    )),
                    _ => Some(format!("{id} names a key that is no ARN: {key}")),
                }
            })
            .collect();
        let found = (!wrong.is_empty()).then(|| {
            broken(
                Critical,
                listed(wrong),
                "Objects under KMS fail to replicate (DstKmsKeyNotFound): S3 does not check the key when the rule is made.",
                pair.edit("put the ARN of a key of the destination's Region into ReplicaKmsKeyID"),
            )
            .unfit(&target.region)
            .leaving(&source.region)
        });
        self.rule(Check::KmsReplicaKey, &pair.subject(), found);
    }

    fn rule_form(&mut self, pair: &Pair<'_>) {
        let account = self.settings.mrap.account();
        let mut wrong = BTreeSet::new();
        for (index, rule) in pair.rules.iter().enumerate() {
            let id = &rule.id;
            if rule.deprecated_form {
                wrong.insert(format!(
                    "{id} has the first form, with its prefix outside of a filter"
                ));
            }
            if rule.delete_markers && !rule.scope.tags.is_empty() {
                wrong.insert(format!(
                    "{id} selects by tag and replicates delete markers, which have none"
                ));
            }
            if rule.time_control && !rule.metrics {
                wrong.insert(format!("{id} has Replication Time Control without metrics"));
            }
            if rule
                .account
                .as_deref()
                .is_some_and(|owner| owner != account)
            {
                wrong.insert(format!(
                    "{id} says that another account owns the member's bucket"
                ));
            }
            for other in pair.rules.iter().skip(index.saturating_add(1)) {
                if other.priority == rule.priority && other.scope.overlaps(&rule.scope) {
                    wrong.insert(format!(
                        "{id} and {} overlap with the same priority",
                        other.id
                    ));
                }
            }
        }
        let found = (!wrong.is_empty()).then(|| {
            broken(
                Warning,
                listed(wrong),
                "Rules of the first form lack what a failover back needs, and of contradicting rules nobody knows which applies.",
                pair.edit("give each rule a Filter, a Priority of its own and DeleteMarkerReplication"),
            )
        });
        self.rule(Check::RuleForm, &pair.subject(), found);
    }

    fn rule_metrics(&mut self, pair: &Pair<'_>) {
        let without = pair.ids(|rule| !rule.metrics);
        let found = (!without.is_empty()).then(|| {
            broken(
                Warning,
                format!("{without} has no replication metrics"),
                "S3 tells of no failure of this rule: nothing is counted, and nothing is re-driven.",
                pair.edit("set Destination.Metrics.Status to Enabled"),
            )
        });
        self.rule(Check::RuleMetrics, &pair.subject(), found);
    }

    fn time_control(&mut self, pair: &Pair<'_>) {
        let (wanted, evidence) = match self.settings.time_control {
            TimeControl::Any => return,
            TimeControl::Enabled => (true, "has no Replication Time Control, declared is enabled"),
            TimeControl::Disabled => (false, "has Replication Time Control, declared is disabled"),
        };
        let others = pair.ids(|rule| rule.time_control != wanted);
        let found = (!others.is_empty()).then(|| {
            broken(
                Warning,
                format!("{others} {evidence}"),
                if wanted {
                    "Nothing promises when a write arrives, nor tells when it is late."
                } else {
                    "Every gigabyte that is replicated is billed for it."
                },
                pair.edit("set Destination.ReplicationTime and Destination.Metrics"),
            )
        });
        self.rule(Check::TimeControl, &pair.subject(), found);
    }

    fn canary_scope(&mut self, pair: &Pair<'_>) {
        let canary = self.canary_of(pair.source);
        let covered = pair.rules.iter().any(|rule| rule.scope.covers(&canary));
        let found = (!covered).then(|| {
            broken(
                Warning,
                format!("no rule from {} to {} covers {canary}", pair.source.member.bucket, pair.target.member.bucket),
                "How far the second is behind is not measured: a failover does not know what it loses.",
                pair.edit(&format!("add a rule for the prefix {}/", self.settings.canary_prefix)),
            )
        });
        self.rule(Check::CanaryScope, &pair.subject(), found);
    }

    /// The proof of the whole way: role, keys and policies included.
    fn canary_arrives(&mut self, pair: &Pair<'_>) {
        let (check, subject) = (Check::CanaryArrives, pair.subject());
        let (source, target) = (&pair.source.member, &pair.target.member);
        let covered = pair
            .rules
            .iter()
            .any(|rule| rule.scope.covers(&self.canary_of(pair.source)));
        if !covered {
            return;
        }
        let Some(Some(evidence)) = read_of(self, check, &subject, &self.inventory.evidence) else {
            return;
        };
        let patience = self.settings.max_lag.saturating_mul(2);
        let age = self.now.duration_since(evidence.observed_at);
        let well = |region| {
            evidence.member(region).is_some_and(|member| {
                member.verdict == Probe::Good
                    && evidence.observed_at.duration_since(member.since) >= patience
            })
        };
        // While a Region is in trouble, or was a moment ago, lateness is to be expected.
        if age > EVIDENCE_MAX_AGE
            || evidence.observer != Observer::Well
            || !well(&source.region)
            || !well(&target.region)
        {
            return self.verdict(check, &subject, Verdict::Unread);
        }
        let late = match evidence.exposure(&source.region, &target.region) {
            None => Some(format!(
                "no canary of {} ever arrived in {}",
                source.bucket, target.bucket
            )),
            Some(exposure) if exposure > patience => Some(format!(
                "the newest canary of {} in {} is {} s behind",
                source.bucket,
                target.bucket,
                exposure.as_secs()
            )),
            Some(_) => None,
        };
        let found = late.map(|evidence| {
            broken(
                Critical,
                evidence,
                "Replication does not work although its rule is there: role, key or policy refuse, and a failover loses what was written since.",
                format!(
                    "aws s3api head-object --region {} --bucket {} --key {} --query ReplicationStatus",
                    source.region,
                    source.bucket,
                    self.canary_of(pair.source)
                ),
            )
            .unfit(&target.region)
            .leaving(&source.region)
        });
        self.rule(check, &subject, found);
    }

    /// What must be the same in both directions.
    fn both_ways(&mut self, first: &BucketLook, second: &BucketLook) {
        let subject = format!("{} and {}", first.member.bucket, second.member.bucket);
        let there = self.rules_to(first, second).filter(|_| is_there(first));
        let back = self.rules_to(second, first).filter(|_| is_there(second));
        let (Some(there), Some(back)) = (there, back) else {
            for check in [
                Check::RuleScope,
                Check::DeleteMarkers,
                Check::ReplicaModifications,
            ] {
                self.verdict(check, &subject, Verdict::Unread);
            }
            return;
        };
        if there.data.is_empty() || back.data.is_empty() {
            return; // said already, and there is nothing to compare
        }
        let scopes = |pair: &Pair<'_>| {
            let scopes = pair.data.iter().map(|rule| rule.scope.clone());
            scopes.collect::<BTreeSet<_>>()
        };
        let found = (scopes(&there) != scopes(&back)).then(|| {
            broken(
                Warning,
                format!(
                    "{} replicates {} to {}, which replicates {} back",
                    first.member.bucket,
                    listed(scopes(&there)),
                    second.member.bucket,
                    listed(scopes(&back))
                ),
                "Objects that only one side replicates are missing on the other after a change of sides.",
                back.edit("give it the filters of the other direction"),
            )
        });
        self.rule(Check::RuleScope, &subject, found);

        let differ = |of: fn(&Rule) -> bool| {
            let values = there.data.iter().chain(&back.data).map(|rule| of(rule));
            values.collect::<BTreeSet<bool>>().len() > 1
        };
        let without = |of: fn(&Rule) -> bool| {
            let ids = [&there, &back].map(|pair| {
                let ids = pair.ids(|rule| !of(rule));
                (!ids.is_empty()).then(|| format!("{ids} of {}", pair.source.member.bucket))
            });
            listed(ids.into_iter().flatten())
        };
        let markers = |rule: &Rule| rule.delete_markers;
        let found = differ(markers).then(|| {
            broken(
                Warning,
                format!(
                    "{} does not replicate delete markers, other rules do",
                    without(markers)
                ),
                "Objects that were deleted on one side are still there on the other.",
                there.edit("make DeleteMarkerReplication the same in both directions"),
            )
        });
        self.rule(Check::DeleteMarkers, &subject, found);

        let modifications = |rule: &Rule| rule.replica_modifications;
        let severity = if differ(modifications) { Warning } else { Info };
        let lacking = without(modifications);
        let found = (!lacking.is_empty()).then(|| {
            broken(
                severity,
                format!("{lacking} does not replicate changes of replicas"),
                "Tags, ACLs and locks that are changed on a copy after a failover do not come home.",
                there.edit("enable SourceSelectionCriteria.ReplicaModifications in both directions"),
            )
        });
        self.rule(Check::ReplicaModifications, &subject, found);
    }
}
