//! Each member bucket by itself, and each work bucket.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{Bench, broken, is_there, listed, read_of, s3api};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::evidence::Verdict as Probe;
use crate::readiness::check::Check;
use crate::readiness::finding::Verdict;
use crate::readiness::inventory::{
    BucketLook, EventTarget, LifecycleAction, Looked, Place, Scope, Versioning, WorkLook,
};

/// What is over sooner is nothing to tell people of.
const UNHEALTHY_FOR: SignedDuration = SignedDuration::from_mins(10);

/// The checks of one bucket that say nothing while the bucket is not where it should be.
const OF_A_BUCKET: [Check; 9] = [
    Check::Versioning,
    Check::Ownership,
    Check::PublicAccess,
    Check::Delegation,
    Check::ReplicationEvents,
    Check::RequestMetrics,
    Check::Lifecycle,
    Check::CanaryHygiene,
    Check::RequesterPays,
];

impl<'a> Bench<'a> {
    pub(super) fn members(&mut self) {
        let inventory = self.inventory;
        for look in &inventory.members {
            self.bucket_exists(look);
            self.member_healthy(look);
            if is_there(look) {
                self.versioning(look);
                self.ownership(look);
                self.public_access(look);
                self.delegation(look);
                self.replication_events(look);
                self.request_metrics(look);
                self.lifecycle(look);
                self.canary_hygiene(look);
                self.requester_pays(look);
            } else {
                for check in OF_A_BUCKET {
                    self.verdict(check, look.member.bucket.as_str(), Verdict::Unread);
                }
            }
        }
        for look in &inventory.work {
            self.work_bucket(look);
        }
    }

    fn bucket_exists(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let evidence = match &look.place {
            Looked::Found(place) if place.is(region) => {
                return self.rule(Check::BucketExists, bucket, None);
            }
            Looked::Found(Place::Region(place)) => {
                format!("{bucket} lies in {place}, the settings say {region}")
            }
            Looked::Found(Place::AnotherAccount) => {
                format!("{bucket} is another account's bucket")
            }
            Looked::Absent => format!("there is no bucket {bucket}"),
            Looked::Denied { .. } | Looked::Failed { .. } => {
                return self.verdict(Check::BucketExists, bucket, Verdict::Unread);
            }
        };
        let found = broken(
            Critical,
            evidence,
            "The Region has no data to serve: requests that are routed there fail.",
            format!(
                "aws s3api head-bucket --bucket {bucket} --expected-bucket-owner {} # then put MEMBERS right, or the bucket",
                self.settings.mrap.account()
            ),
        );
        self.rule(Check::BucketExists, bucket, Some(found.unfit(region)));
    }

    /// The guard `target-is-healthy` decides by later evidence; here people hear of a standby that
    /// it would refuse, before they need it.
    fn member_healthy(&mut self, look: &BucketLook) {
        let (check, bucket, region) = (
            Check::MemberHealthy,
            look.member.bucket.as_str(),
            &look.member.region,
        );
        // Of a bucket that is not where it should be that is said already.
        let is_missing = matches!(look.place, Looked::Found(_) | Looked::Absent) && !is_there(look);
        let seen = self.believable();
        let member = seen.and_then(|evidence| evidence.member(region));
        let Some(member) = member.filter(|_| !is_missing) else {
            return self.verdict(check, bucket, Verdict::Unread);
        };
        if member.verdict == Probe::Good {
            return self.rule(check, bucket, None);
        }
        // An outage may give one verdict in this round and another one in the next.
        let since = member
            .last_write
            .map_or(member.since, |at| at.min(member.since));
        if self.now.duration_since(since) <= UNHEALTHY_FOR {
            return self.verdict(check, bucket, Verdict::Unread);
        }
        let found = broken(
            Warning,
            format!(
                "{bucket} in {region} is {}, and was not seen well since {since:.0}: {}",
                member.verdict.as_str(),
                member.detail
            ),
            "A failover to it is refused as long as it lasts, by the guard target-is-healthy.",
            "aws lambda invoke --function-name \"$FAILOVER_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{\"command\":\"status\"}' /dev/stdout # shows the evidence",
        );
        self.rule(check, bucket, Some(found));
    }

    fn versioning(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::Versioning;
        let Some(versioning) = read_of(self, check, bucket, &look.versioning) else {
            return;
        };
        let (evidence, mind) = match versioning {
            Some(Versioning::Enabled) => return self.rule(check, bucket, None),
            Some(Versioning::Suspended) => (format!("versioning of {bucket} is suspended"), ""),
            Some(Versioning::Never) | None => (
                format!("versioning of {bucket} was never enabled"),
                " # for good: it can be suspended later, but not removed; every overwrite keeps the old version; takes effect within minutes",
            ),
        };
        let found = broken(
            Critical,
            evidence,
            "Nothing replicates from or to the bucket, and overwritten objects are lost.",
            s3api(
                "put-bucket-versioning",
                region,
                bucket,
                &format!("--versioning-configuration Status=Enabled{mind}"),
            ),
        );
        self.rule(check, bucket, Some(found.unfit(region)));
    }

    fn ownership(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::Ownership;
        let Some(ownership) = read_of(self, check, bucket, &look.ownership) else {
            return;
        };
        let found = match ownership.map(String::as_str) {
            Some("BucketOwnerEnforced") => None,
            other => Some(broken(
                Warning,
                format!(
                    "object ownership of {bucket} is {}",
                    other.unwrap_or("not set, so whoever writes owns the object")
                ),
                "Objects that another account owns fail to replicate (SrcGetAclNotPermitted).",
                s3api(
                    "put-bucket-ownership-controls",
                    region,
                    bucket,
                    "--ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerEnforced}]' # switches ACLs off: who sends one gets 400 AccessControlListNotSupported",
                ),
            )),
        };
        self.rule(check, bucket, found);
    }

    fn public_access(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::PublicAccess;
        let Some(access) = read_of(self, check, bucket, &look.public_access) else {
            return;
        };
        let found = (!access.is_some_and(|access| access.blocked)).then(|| {
            broken(
                Warning,
                match access {
                    Some(_) => format!("{bucket} itself does not block all public access"),
                    None => format!("{bucket} has no public access block of its own"),
                },
                "Unless the account's block forbids it, which is not looked at, a policy or an ACL could open this member's data to everybody.",
                s3api(
                    "put-public-access-block",
                    region,
                    bucket,
                    "--public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true # cuts off the readers of a bucket that is public on purpose",
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    /// Within one account access points need no delegation; but what one bucket grants and
    /// another does not, is lost with a failover.
    fn delegation(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::Delegation;
        let Some(policy) = read_of(self, check, bucket, &look.policy) else {
            return;
        };
        let delegates = policy.is_some_and(delegates);
        let others: Vec<&str> = self
            .inventory
            .members
            .iter()
            .filter(|other| other.policy.found().is_some_and(self::delegates))
            .map(|other| other.member.bucket.as_str())
            .collect();
        let found = (!delegates && !others.is_empty()).then(|| {
            broken(
                Warning,
                format!(
                    "the policy of {bucket} does not delegate to access points, that of {} does",
                    others.join(", ")
                ),
                "Whoever has access by the access point's policy alone loses it when this member serves.",
                format!(
                    "aws s3api get-bucket-policy --bucket {} --query Policy --output text # copy what it delegates into put-bucket-policy of {bucket} in {region}",
                    others.first().unwrap_or(&bucket)
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    fn replication_events(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::ReplicationEvents;
        let Some(queue) = self.settings.events_queue.as_deref() else {
            return;
        };
        let Some(targets) = read_of(self, check, bucket, &look.events) else {
            return;
        };
        let targets = targets.map(Vec::as_slice).unwrap_or_default();
        let Some(lacks) = self.lacking_events(targets, queue) else {
            return self.verdict(check, bucket, Verdict::Unread);
        };
        let found = lacks.map(|lacks| {
            broken(
                Warning,
                format!("{bucket}: {lacks}"),
                "Failures to replicate from this bucket stay unnoticed, and nothing re-drives them.",
                format!(
                    "{} # data-plane/deploy mends what it made; else send s3:Replication:* to a topic that {queue} subscribes",
                    s3api("get-bucket-notification-configuration", region, bucket, "")
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    /// What keeps these targets' events from the queue, if anything does; nothing if it cannot be told.
    #[expect(
        clippy::option_option,
        reason = "not told, told that there is none, and told are three things"
    )]
    fn lacking_events(&self, targets: &[EventTarget], queue: &str) -> Option<Option<String>> {
        if targets.is_empty() {
            return Some(Some("no notification of s3:Replication events".to_owned()));
        }
        let mut lacks = Vec::new();
        let mut unread = false;
        for target in targets {
            let arrives = if target.arn == queue {
                true
            } else {
                match self.inventory.event_topics.get(&target.arn) {
                    Some(Looked::Found(subscriptions)) => subscriptions
                        .iter()
                        .any(|one| one.confirmed && one.protocol == "sqs" && one.endpoint == queue),
                    Some(Looked::Denied { .. } | Looked::Failed { .. }) => {
                        unread = true;
                        continue;
                    }
                    Some(Looked::Absent) | None => false,
                }
            };
            match (arrives, target.filtered) {
                (true, false) => return Some(None),
                (true, true) => lacks.push(format!("{} hears of some keys only", target.arn)),
                (false, _) => lacks.push(format!(
                    "events go to {}, to which {queue} is not subscribed",
                    target.arn
                )),
            }
        }
        if unread {
            None
        } else {
            Some(Some(lacks.join("; ")))
        }
    }

    fn request_metrics(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::RequestMetrics;
        let Some(whole) = read_of(self, check, bucket, &look.request_metrics) else {
            return;
        };
        let found = (whole != Some(&true)).then(|| {
            broken(
                Info,
                format!("{bucket} has no request metrics for the whole bucket"),
                "No alarm on S3's own error rate can watch this member.",
                s3api(
                    "put-bucket-metrics-configuration",
                    region,
                    bucket,
                    "--id EntireBucket --metrics-configuration Id=EntireBucket",
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    /// Home, to compare a member with; nothing for home itself, or if home is not there.
    fn home_beside(&mut self, check: Check, look: &BucketLook) -> Option<&'a BucketLook> {
        let home = self.inventory.members.first()?;
        if home.member == look.member {
            return None;
        }
        if !is_there(home) {
            self.verdict(check, look.member.bucket.as_str(), Verdict::Unread);
            return None;
        }
        Some(home)
    }

    /// Every member against home: lifecycle rules act on each side by themselves.
    fn lifecycle(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::Lifecycle;
        let Some(home) = self.home_beside(check, look) else {
            return;
        };
        let Some(here) = read_of(self, check, bucket, &look.lifecycle) else {
            return;
        };
        let at_home = match &home.lifecycle {
            Looked::Found(at_home) => at_home.as_slice(),
            Looked::Absent => &[],
            Looked::Denied { .. } | Looked::Failed { .. } => {
                return self.verdict(check, bucket, Verdict::Unread);
            }
        };
        let has_none = matches!(home.lifecycle, Looked::Absent);
        let here = self.own_actions(here.map(Vec::as_slice).unwrap_or_default());
        let at_home = self.own_actions(at_home);
        // One difference less is no news that is worse: each counts by itself.
        let home_bucket = home.member.bucket.as_str();
        let [only_home, only_here] = [(&at_home, &here), (&here, &at_home)]
            .map(|(these, those)| these.difference(those).collect::<BTreeSet<_>>());
        let each: Vec<String> = [(&only_home, home_bucket), (&only_here, bucket)]
            .into_iter()
            .flat_map(|(only, whose)| only.iter().map(move |one| format!("only {whose}: {one}")))
            .collect();
        let found = (!each.is_empty()).then(|| {
            let differences: Vec<String> = [(&only_home, home_bucket), (&only_here, bucket)]
                .into_iter()
                .filter(|(only, _)| !only.is_empty())
                .map(|(only, whose)| format!("only {whose}: {}", listed(only)))
                .collect();
            let of_home = (home_bucket, &home.member.region);
            // Of a bucket that has none there is nothing to be got.
            let ((first, at), (second, there)) = if has_none {
                ((bucket, region), of_home)
            } else {
                (of_home, (bucket, region))
            };
            broken(
                Warning,
                format!("lifecycle rules differ, {}", differences.join("; ")),
                "What lifecycle rules delete or move on one side stays on the other: after a failover readers find other objects.",
                format!(
                    "{} # and the same of {second} in {there}",
                    s3api("get-bucket-lifecycle-configuration", at, first, "--output json")
                ),
            )
            .of(&each)
        });
        self.rule(check, bucket, found);
    }

    /// What is done to the users' objects.
    fn own_actions(&self, actions: &[LifecycleAction]) -> BTreeSet<String> {
        actions
            .iter()
            .filter(|action| !self.is_of_canaries(&action.scope))
            .map(|action| format!("{} {}", action.scope, action.does))
            .collect()
    }

    fn canary_hygiene(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::CanaryHygiene;
        let Some(actions) = read_of(self, check, bucket, &look.lifecycle) else {
            return;
        };
        let canary = self.canary_of(look);
        let removed = actions
            .into_iter()
            .flatten()
            .any(|action| action.removes_noncurrent && action.scope.covers(&canary));
        let found = (!removed).then(|| {
            let prefix = &self.settings.canary_prefix;
            broken(
                Info,
                format!("no lifecycle rule of {bucket} removes old versions under {prefix}/"),
                "Every probe leaves a version of a few bytes behind for good.",
                if actions.is_none() {
                    format!(
                        "{} # there is none yet: docs/existing.md, \"Mend\", writes the file, with NoncurrentVersionExpiration of a day for the prefix {prefix}/",
                        s3api(
                            "put-bucket-lifecycle-configuration",
                            region,
                            bucket,
                            "--lifecycle-configuration file://lifecycle.json"
                        )
                    )
                } else {
                    format!(
                        "{} > lifecycle.json # add NoncurrentVersionExpiration of a day for the prefix {prefix}/, then put-bucket-lifecycle-configuration --lifecycle-configuration file://lifecycle.json",
                        s3api(
                            "get-bucket-lifecycle-configuration",
                            region,
                            bucket,
                            "--query '{Rules: Rules}' --output json"
                        )
                    )
                },
            )
        });
        self.rule(check, bucket, found);
    }

    /// Every member against home: with all of them set alike nobody pays more or less by a failover.
    fn requester_pays(&mut self, look: &BucketLook) {
        let (bucket, region) = (look.member.bucket.as_str(), &look.member.region);
        let check = Check::RequesterPays;
        let Some(home) = self.home_beside(check, look) else {
            return;
        };
        let Some(here) = read_of(self, check, bucket, &look.requester_pays) else {
            return;
        };
        let Some(at_home) = read_of(self, check, bucket, &home.requester_pays) else {
            return;
        };
        let [here, at_home] = [here, at_home].map(|pays| pays == Some(&true));
        let payer = |requester| {
            if requester {
                "Requester"
            } else {
                "BucketOwner"
            }
        };
        let found = (here != at_home).then(|| {
            broken(
                Warning,
                format!(
                    "{} pays for {bucket}, {} for {}",
                    payer(here),
                    payer(at_home),
                    home.member.bucket
                ),
                if here {
                    "Requests that do not accept the charge are refused when this member serves."
                } else {
                    "The owner is charged for what requesters pay at home when this member serves."
                },
                format!(
                    "{} # as at home; or the other way round there",
                    s3api(
                        "put-bucket-request-payment",
                        region,
                        bucket,
                        &format!("--request-payment-configuration Payer={}", payer(at_home)),
                    )
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    fn work_bucket(&mut self, look: &WorkLook) {
        let (bucket, region) = (look.bucket.as_str(), &look.region);
        let check = Check::WorkBucket;
        let place = match &look.place {
            Looked::Found(place) => Some(place),
            Looked::Absent => None,
            Looked::Denied { .. } | Looked::Failed { .. } => {
                self.verdict(check, bucket, Verdict::Unread);
                return self.verdict(Check::WorkBucketEncryption, bucket, Verdict::Unread);
            }
        };
        let found = (!place.is_some_and(|place| place.is(region))).then(|| {
            broken(
                Warning,
                match place {
                    Some(Place::Region(place)) => format!("work bucket {bucket} lies in {place}, the settings say {region}"),
                    Some(Place::AnotherAccount) => format!("work bucket {bucket} is another account's"),
                    None => format!("there is no work bucket {bucket}"),
                },
                "What failed to replicate from this Region cannot be re-driven: a job needs its manifest there.",
                format!(
                    "aws s3api head-bucket --bucket {bucket} --expected-bucket-owner {} # then put WORK_BUCKETS right, or the bucket",
                    self.settings.mrap.account()
                ),
            )
        });
        let is_there = found.is_none();
        self.rule(check, bucket, found);
        let check = Check::WorkBucketEncryption;
        if !is_there {
            return self.verdict(check, bucket, Verdict::Unread);
        }
        let encryption = match &look.encryption {
            Looked::Found(encryption) => Some(encryption),
            Looked::Absent => None,
            Looked::Denied { .. } | Looked::Failed { .. } => {
                return self.verdict(check, bucket, Verdict::Unread);
            }
        };
        let found = encryption.filter(|one| one.is_kms()).map(|encryption| {
            broken(
                Warning,
                format!("work bucket {bucket} encrypts with {}", encryption.algorithm),
                "Manifests are written with SSE-S3 all the same, but a job's report falls under that key: unless the batch role and the redrive function may use it, the job fails or nobody can read what it did.",
                s3api(
                    "put-bucket-encryption",
                    region,
                    bucket,
                    "--server-side-encryption-configuration 'Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]'",
                ),
            )
        });
        self.rule(check, bucket, found);
    }

    /// Key of the member's canary.
    pub(super) fn canary_of(&self, look: &BucketLook) -> String {
        let alias = self.settings.mrap.alias();
        format!(
            "{}/{alias}/{}",
            self.settings.canary_prefix, look.member.region
        )
    }

    /// Whether a scope is the canaries' alone.
    pub(super) fn is_of_canaries(&self, scope: &Scope) -> bool {
        let ours = format!("{}/", self.settings.canary_prefix);
        scope.prefix.starts_with(&ours)
    }
}

/// Whether a bucket policy allows what Multi-Region Access Points allow.
fn delegates(policy: &serde_json::Value) -> bool {
    let statements = match policy.get("Statement") {
        Some(serde_json::Value::Array(many)) => many.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    statements.iter().any(|statement| {
        let allows = statement.get("Effect").and_then(|it| it.as_str()) == Some("Allow");
        let conditions = statement.get("Condition").and_then(|it| it.as_object());
        let mut keys = conditions
            .into_iter()
            .flat_map(|operators| operators.values())
            .filter_map(|of_operator| of_operator.as_object())
            .flatten();
        allows
            && keys.any(|(key, values)| match key.to_ascii_lowercase().as_str() {
                "s3:dataaccesspointaccount" => true,
                "s3:dataaccesspointarn" => names_multi_region(values),
                _ => false,
            })
    })
}

/// Whether one of these access points may be a Multi-Region one: those have no Region.
fn names_multi_region(arns: &serde_json::Value) -> bool {
    let may_be = |arn: &serde_json::Value| {
        let mut parts = arn.as_str().unwrap_or_default().split(':').skip(3);
        parts
            .next()
            .is_none_or(|region| region.is_empty() || region == "*")
    };
    match arns {
        serde_json::Value::Array(many) => many.iter().any(may_be),
        one => may_be(one),
    }
}
