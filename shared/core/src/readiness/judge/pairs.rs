//! Each ordered pair of members: what one replicates to the other.

use std::collections::BTreeSet;

use super::{Bench, EVIDENCE_MAX_AGE, broken, is_there, listed, pair_of, read_of, s3api};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::evidence::{Lag, Observer, Verdict as Probe};
use crate::readiness::check::Check;
use crate::readiness::finding::{Broken, Verdict};
use crate::readiness::inventory::{BucketLook, Encryption, Looked, Rule, Scope};
use crate::settings::TimeControl;

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
        pair_of(&self.source.member.bucket, &self.target.member.bucket)
    }

    /// Ids of the rules for which `is` holds.
    fn ids(&self, is: impl Fn(&Rule) -> bool) -> BTreeSet<&str> {
        let rules = self.data.iter().filter(|rule| is(rule));
        rules.map(|rule| rule.id.as_str()).collect()
    }

    /// Whether a rule has no say about any object: another one with a higher priority has it.
    fn is_shadowed(&self, rule: &Rule) -> bool {
        self.data
            .iter()
            .any(|other| other.priority > rule.priority && other.scope.contains(&rule.scope))
    }

    /// Whether the other one replicates objects that this one does not.
    fn lacks_of(&self, other: &Self) -> bool {
        let covers =
            |one: &Rule, rule: &Rule| one.scope == rule.scope || one.scope.contains(&rule.scope);
        let covered = |rule: &Rule| self.data.iter().any(|one| covers(one, rule));
        !other.data.iter().all(|rule| covered(rule))
    }

    /// The rules that have a say about what is within this scope: its own, or else the wider one with
    /// the highest priority. By tags only those of the same tags are told apart.
    fn ruling(&self, scope: &Scope) -> Vec<&Rule> {
        let rules = || self.data.iter().copied();
        let own: Vec<&Rule> = rules().filter(|rule| rule.scope == *scope).collect();
        if !own.is_empty() || !scope.tags.is_empty() {
            return own;
        }
        let wider = rules().filter(|rule| rule.scope.contains(scope));
        let wider = wider.max_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        wider.into_iter().collect()
    }

    fn edit(&self, what: &str) -> String {
        let member = &self.source.member;
        let of_source =
            |command, rest| s3api(command, &member.region, member.bucket.as_str(), rest);
        // Of a bucket that has none there is nothing to be got.
        if self.source.replication == Looked::Absent {
            return format!(
                "{} # there is none yet: docs/existing.md, \"Mend\", writes the file; {what}",
                of_source(
                    "put-bucket-replication",
                    "--replication-configuration file://replication.json"
                )
            );
        }
        format!(
            "{} > replication.json # {what}, then put-bucket-replication --replication-configuration file://replication.json",
            of_source(
                "get-bucket-replication",
                "--query ReplicationConfiguration --output json"
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
            let subject = pair_of(&source.member.bucket, &target.member.bucket);
            for check in [Check::Rule, Check::ObjectLock, Check::CanaryArrives] {
                self.verdict(check, &subject, Verdict::Unread);
            }
            return self.no_switches(&subject);
        };
        self.rule_exists(&pair);
        self.object_lock(&pair);
        // Without a rule there is nothing to say about its switches.
        if pair.data.is_empty() {
            self.no_switches(&pair.subject());
        } else {
            self.kms_replication(&pair);
            self.kms_replica_key(&pair);
            self.bucket_key(&pair);
            self.rule_form(&pair);
            self.rule_metrics(&pair);
            self.time_control(&pair);
            self.canary_scope(&pair);
        }
        self.canary_arrives(&pair);
    }

    fn no_switches(&mut self, subject: &str) {
        for check in [
            Check::KmsReplication,
            Check::KmsReplicaKey,
            Check::BucketKey,
            Check::RuleForm,
            Check::RuleMetrics,
            Check::TimeControl,
            Check::CanaryScope,
        ] {
            self.verdict(check, subject, Verdict::Unread);
        }
    }

    fn rule_exists(&mut self, pair: &Pair<'_>) {
        let (source, target) = (&pair.source.member, &pair.target.member);
        let all = pair.source.replication.found().into_iter().flatten();
        // What a disabled rule is about may be replicated by another one.
        let disabled: BTreeSet<&str> = all
            .filter(|rule| rule.destination == target.bucket.as_str() && !rule.enabled)
            .filter(|rule| !self.is_of_canaries(&rule.scope))
            .filter(|rule| !pair.data.iter().any(|one| one.scope.contains(&rule.scope)))
            .map(|rule| rule.id.as_str())
            .collect();
        let found = (pair.data.is_empty() || !disabled.is_empty()).then(|| {
            let evidence = match (disabled.is_empty(), pair.source.replication.found()) {
                (false, _) => format!(
                    "the rule {} from {} to {} is disabled",
                    listed(&disabled),
                    source.bucket,
                    target.bucket
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
                pair.edit("add or enable the rule, or delete one that is not meant to be"),
            )
            .of(&disabled)
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
                    "--object-lock-configuration ObjectLockEnabled=Enabled # for good: it can never be switched off again",
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
        let without = pair.ids(|rule| !rule.kms_objects && !pair.is_shadowed(rule));
        let found = encryption
            .filter(|one| one.is_kms() && !without.is_empty())
            .map(|encryption| {
                broken(
                    Critical,
                    format!(
                        "{} encrypts with {}, and {} does not replicate such objects",
                        source.bucket,
                        encryption.algorithm,
                        listed(&without)
                    ),
                    "New objects are silently never replicated: no failure, no event, no metric tells of it.",
                    pair.edit("set SourceSelectionCriteria.SseKmsEncryptedObjects and Destination.EncryptionConfiguration.ReplicaKmsKeyID"),
                )
                .of(&without)
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
                listed(&wrong),
                "Objects under KMS fail to replicate (DstKmsKeyNotFound): S3 does not check the key when the rule is made.",
                pair.edit("put the ARN of a key of the destination's Region into ReplicaKmsKeyID"),
            )
            .of(&wrong)
            .unfit(&target.region)
            .leaving(&source.region)
        });
        self.rule(Check::KmsReplicaKey, &pair.subject(), found);
    }

    /// With a Bucket Key the keys are asked in the name of the bucket and not of the object.
    /// Whether role and key policies allow that nobody may read here; canaries that arrive under
    /// the key prove it.
    fn bucket_key(&mut self, pair: &Pair<'_>) {
        let (check, subject) = (Check::BucketKey, pair.subject());
        let (source, target) = (&pair.source.member, &pair.target.member);
        let Some(here) = read_of(self, check, &subject, &pair.source.encryption) else {
            return;
        };
        let Some(there) = read_of(self, check, &subject, &pair.target.encryption) else {
            return;
        };
        let is_kms = here.is_some_and(Encryption::is_kms);
        let keyed: BTreeSet<&str> = [(source, here), (target, there)]
            .into_iter()
            .filter(|(_, one)| one.is_some_and(|one| one.bucket_key))
            .map(|(member, _)| member.bucket.as_str())
            .collect();
        let replicated = pair.data.iter().any(|rule| rule.kms_objects);
        if !replicated || keyed.is_empty() {
            return self.rule(check, &subject, None);
        }
        let proven = match self.evidence {
            // A canary under another key proves nothing.
            _ if !is_kms => false,
            Looked::Found(evidence) => match evidence.exposure(&source.region, &target.region) {
                Some(exposure) if exposure <= self.settings.max_lag => true,
                // One did arrive; why the next is late, `canary-arrives` says.
                Some(_) => return self.verdict(check, &subject, Verdict::Unread),
                None => false,
            },
            Looked::Absent => false,
            Looked::Denied { .. } | Looked::Failed { .. } => {
                return self.verdict(check, &subject, Verdict::Unread);
            }
        };
        let found = (!proven).then(|| {
            let arns: Vec<String> = keyed.iter().map(|one| format!("arn:aws:s3:::{one}")).collect();
            broken(
                Info,
                format!(
                    "{} has a Bucket Key, and no canary under KMS shows that objects get from {} to {}",
                    listed(&keyed),
                    source.bucket,
                    target.bucket
                ),
                "A role or key policy whose encryption context names objects only refuses, and what is under KMS fails to replicate (DstPutObjectNotPermitted).",
                format!(
                    "{} # kms:EncryptionContext:aws:s3:arn in that role's policy has to allow {} itself, and the replicas' key kms:GenerateDataKey and kms:Decrypt",
                    s3api(
                        "get-bucket-replication",
                        &source.region,
                        source.bucket.as_str(),
                        "--query ReplicationConfiguration.Role"
                    ),
                    arns.join(" and ")
                ),
            )
            .of(&keyed)
        });
        self.rule(check, &subject, found);
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
                    let (first, second) = (id.min(&other.id), id.max(&other.id));
                    wrong.insert(format!(
                        "{first} and {second} overlap with the same priority"
                    ));
                }
            }
        }
        let found = (!wrong.is_empty()).then(|| {
            broken(
                Warning,
                listed(&wrong),
                "Rules of the first form lack what a failover back needs, and of contradicting rules nobody knows which applies.",
                pair.edit("give each rule a Filter, a Priority of its own and DeleteMarkerReplication"),
            )
            .of(&wrong)
        });
        self.rule(Check::RuleForm, &pair.subject(), found);
    }

    fn rule_metrics(&mut self, pair: &Pair<'_>) {
        let without = pair.ids(|rule| !rule.metrics);
        let found = (!without.is_empty()).then(|| {
            broken(
                Warning,
                format!("{} has no replication metrics", listed(&without)),
                "S3 tells of no failure of this rule: nothing is counted, and nothing is re-driven.",
                pair.edit("set Destination.Metrics.Status to Enabled"),
            )
            .of(&without)
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
                format!("{} {evidence}", listed(&others)),
                if wanted {
                    "Nothing promises when a write arrives, nor tells when it is late."
                } else {
                    "Every gigabyte that is replicated is billed for it."
                },
                pair.edit("set Destination.ReplicationTime and Destination.Metrics"),
            )
            .of(&others)
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
        let Looked::Found(evidence) = self.evidence else {
            return self.verdict(check, &subject, Verdict::Unread);
        };
        if !covered {
            return self.verdict(check, &subject, Verdict::Unread);
        }
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
        let exposure = evidence.exposure(&source.region, &target.region);
        let there = evidence.member(&target.region);
        if there.is_some_and(|member| member.passed_over.contains(&source.region)) {
            let found = passed_over(pair, &self.canary_of(pair.source));
            return self.rule(check, &subject, Some(found));
        }
        let lag = evidence.pair(&source.region, &target.region);
        // Of a copy that may not be read any more the last one that was read only seems to age.
        if exposure.is_none_or(|exposure| exposure > patience)
            && let Some(Lag::Unknown { reason }) = lag.map(|pair| &pair.lag)
        {
            let uncovered =
                there.is_some_and(|member| member.out_of_scope.contains_key(&source.region));
            let remedy = if uncovered {
                pair.edit(&format!(
                    "let a rule cover {}/",
                    self.settings.canary_prefix
                ))
            } else {
                format!(
                    "sam deploy --parameter-overrides MemberKmsKeyArns=… # with the key of the replicas in {}, if they have one; docs/detection.md",
                    target.bucket
                )
            };
            let found = broken(
                Warning,
                format!(
                    "whether canaries of {} arrive in {} cannot be told: {reason}",
                    source.bucket, target.bucket
                ),
                "How far the second is behind is not measured: a failover does not know what it loses.",
                remedy,
            );
            return self.rule(check, &subject, Some(found));
        }
        let late = match exposure {
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
            let found = broken(
                Critical,
                evidence,
                "Replication does not work although its rule is there: role, key or policy refuse, and a failover loses what was written since.",
                format!(
                    "aws s3api head-object --region {} --bucket {} --key {} --query ReplicationStatus",
                    source.region,
                    source.bucket,
                    self.canary_of(pair.source)
                ),
            );
            if exposure.is_some() {
                // A backlog may be gone by the time of a failover, whose `loss-is-acceptable`
                // knows the latest exposure.
                return found;
            }
            found.unfit(&target.region).leaving(&source.region)
        });
        self.rule(check, &subject, found);
    }

    /// What must be the same in both directions.
    fn both_ways(&mut self, first: &BucketLook, second: &BucketLook) {
        let subject = format!("{} and {}", first.member.bucket, second.member.bucket);
        let there = self.rules_to(first, second).filter(|_| is_there(first));
        let back = self.rules_to(second, first).filter(|_| is_there(second));
        let (Some(there), Some(back)) = (there, back) else {
            return self.not_compared(&subject);
        };
        if there.data.is_empty() || back.data.is_empty() {
            return self.not_compared(&subject); // said already
        }
        let scopes = |pair: &Pair<'_>| {
            let scopes = pair.data.iter().map(|rule| rule.scope.clone());
            scopes.collect::<BTreeSet<_>>()
        };
        // A rule about objects that a wider one has anyway makes no difference.
        let (there_lacks, back_lacks) = (there.lacks_of(&back), back.lacks_of(&there));
        let found = (there_lacks || back_lacks).then(|| {
            let lacking = if there_lacks && !back_lacks {
                &there
            } else {
                &back
            };
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
                lacking.edit("give it the filters of the other direction"),
            )
        });
        self.rule(Check::RuleScope, &subject, found);

        // Of the same objects the same has to be said; that there are others is said above.
        let differ = |scope: &Scope, of: fn(&Rule) -> bool| {
            let [there, back] = [&there, &back].map(|pair| {
                let rules = pair.ruling(scope).into_iter();
                rules.map(of).collect::<BTreeSet<bool>>()
            });
            !there.is_empty() && !back.is_empty() && there != back
        };
        // Those whose rules are without, and which rules these are.
        let without = |is: &dyn Fn(&Rule) -> bool| {
            let sides = [&there, &back].into_iter();
            let sides = sides.map(|pair| (pair, pair.ids(is)));
            let sides: Vec<_> = sides.filter(|(_, ids)| !ids.is_empty()).collect();
            let ids = sides
                .iter()
                .map(|(pair, ids)| format!("{} of {}", listed(ids), pair.source.member.bucket));
            let ids = listed(ids);
            let sides = sides.into_iter().map(|(pair, _)| pair);
            (ids, sides.collect::<Vec<&Pair<'_>>>())
        };
        let markers = |rule: &Rule| rule.delete_markers;
        let (lacking, sides) = without(&|rule| !markers(rule) && differ(&rule.scope, markers));
        let found = sides.first().map(|pair| {
            broken(
                Warning,
                format!("{lacking} does not replicate delete markers, the other direction does"),
                "Objects that were deleted on one side are still there on the other.",
                pair.edit("make DeleteMarkerReplication the same in both directions"),
            )
        });
        self.rule(Check::DeleteMarkers, &subject, found);

        let modifications = |rule: &Rule| rule.replica_modifications;
        let mut rules = there.data.iter().chain(&back.data);
        let one_way = rules.any(|rule| differ(&rule.scope, modifications));
        let severity = if one_way { Warning } else { Info };
        let (lacking, sides) = without(&|rule| !modifications(rule));
        let found = sides.first().map(|pair| {
            let other = sides.get(1).map_or_else(String::new, |other| {
                let member = &other.source.member;
                format!(" here and in {} of {}", member.bucket, member.region)
            });
            broken(
                severity,
                format!("{lacking} does not replicate changes of replicas"),
                "Tags, ACLs and locks that are changed on a copy after a failover do not come home.",
                pair.edit(&format!(
                    "enable SourceSelectionCriteria.ReplicaModifications{other}"
                )),
            )
        });
        self.rule(Check::ReplicaModifications, &subject, found);
    }

    fn not_compared(&mut self, subject: &str) {
        for check in [
            Check::RuleScope,
            Check::DeleteMarkers,
            Check::ReplicaModifications,
        ] {
            self.verdict(check, subject, Verdict::Unread);
        }
    }
}

/// S3 says that it has replicated canaries, and they are not in a bucket to which a rule brings them:
/// no exposure is measured, so that no other guard stops a failover that would lose what is skipped.
fn passed_over(pair: &Pair<'_>, canary: &str) -> Broken {
    let (source, target) = (&pair.source.member, &pair.target.member);
    broken(
        Critical,
        format!(
            "S3 says that canaries of {} are replicated, and nothing as new is in {}, to which a rule brings them",
            source.bucket, target.bucket
        ),
        "S3 skips what a rule covers and tells nobody: a failover loses it.",
        format!(
            "{}; {} # where the first says COMPLETED, the rule to {} tells why S3 skips the object: KMS, tags, or another rule with a higher priority",
            s3api(
                "head-object",
                &source.region,
                source.bucket.as_str(),
                &format!("--key {canary} --query '[ReplicationStatus,ServerSideEncryption]'")
            ),
            s3api(
                "get-bucket-replication",
                &source.region,
                source.bucket.as_str(),
                ""
            ),
            target.bucket
        ),
    )
    .unfit(&target.region)
    .leaving(&source.region)
}
