//! The stack itself: whether it is told, heard, and tried.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Bench, broken, listed, read_of};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::names::TopicArn;
use crate::readiness::check::Check;
use crate::readiness::finding::Verdict;
use crate::readiness::inventory::{Looked, Subscription, Trouble};

/// The self-test is daily; two hours are for schedules that fire late.
const SELF_TEST_MAX_AGE: SignedDuration = SignedDuration::from_hours(26);
/// A way that was not gone for this long is not known to work.
const REHEARSAL_MAX_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A hold for a maintenance is over by then.
const HOLD_MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

impl Bench<'_> {
    pub(super) fn ourselves(&mut self) {
        self.control_region();
        self.topics();
        self.alarms();
        self.dead_letters();
        self.batch_jobs();
        self.self_test();
        self.hold();
        self.rehearsal();
        self.vantage_point();
        self.permissions();
    }

    fn control_region(&mut self) {
        let region = &self.inventory.region;
        let member = self.settings.members.in_region(region);
        let found = member.map(|member| {
            broken(
                Warning,
                format!("the stack runs in {region}, where the member {} lies", member.bucket),
                "The outage that it should act on can take it down too.",
                "sam deploy --region REGION # a Region that holds no member; then delete this stack",
            )
        });
        self.rule(Check::ControlRegion, region.as_str(), found);
    }

    fn topics(&mut self) {
        let inventory = self.inventory;
        let confirmed = |subscriptions: &Vec<Subscription>| {
            subscriptions
                .iter()
                .any(|subscription| subscription.confirmed)
        };
        let somebody = inventory
            .topics
            .iter()
            .any(|(_, look)| !matches!(look, Looked::Absent) && look.found().is_none_or(confirmed));
        for (topic, look) in &inventory.topics {
            let check = Check::TopicSubscribed;
            let Some(subscriptions) = read_of(self, check, topic.as_str(), look) else {
                continue;
            };
            if subscriptions.is_some_and(confirmed) {
                self.rule(check, topic.as_str(), None);
                continue;
            }
            let pending = listed(
                subscriptions
                    .into_iter()
                    .flatten()
                    .map(|one| one.protocol.as_str()),
            );
            let evidence = match (subscriptions, pending.is_empty()) {
                (None, _) => format!("there is no topic {topic}"),
                (Some(_), true) => format!("nobody subscribes to {topic}"),
                (Some(_), false) => {
                    format!("no subscription of {topic} was confirmed, {pending} is asked")
                }
            };
            let found = broken(
                if somebody { Warning } else { Critical },
                evidence,
                "Nobody is told what happened through this topic.",
                subscribe(topic),
            );
            self.rule(check, topic.as_str(), Some(found));
        }
    }

    fn alarms(&mut self) {
        let inventory = self.inventory;
        let region = &inventory.region;
        for (name, look) in &inventory.alarms {
            let Some(alarm) = read_of(self, Check::Alarm, name, look) else {
                continue;
            };
            let evidence = match alarm {
                None => Some(format!("there is no alarm {name} in {region}")),
                Some(alarm) if !alarm.actions_enabled => {
                    Some(format!("the actions of alarm {name} are disabled"))
                }
                Some(alarm) if !alarm.has_actions => {
                    Some(format!("alarm {name} does nothing when it goes off"))
                }
                Some(_) => None,
            };
            let found = evidence.map(|evidence| {
                let remedy = if alarm.is_some_and(|alarm| alarm.has_actions) {
                    format!("aws cloudwatch enable-alarm-actions --region {region} --alarm-names {name}")
                } else {
                    format!("aws cloudwatch describe-alarms --region {region} --alarm-names {name} # sam deploy makes it anew")
                };
                broken(
                    Warning,
                    evidence,
                    "What it watches can fail without anybody, or the failover function, being told.",
                    remedy,
                )
            });
            self.rule(Check::Alarm, name, found);
        }
    }

    fn dead_letters(&mut self) {
        let inventory = self.inventory;
        for (name, look) in &inventory.dead_letters {
            let Some(messages) = read_of(self, Check::DeadLetters, name, look) else {
                continue;
            };
            // SQS measures no queue that has been idle for hours.
            let waiting = messages.copied().unwrap_or_default();
            let found = (waiting > 0).then(|| {
                broken(
                    Warning,
                    format!("{waiting} messages wait in {name}"),
                    "An alarm or a failed replication was not handled, and nobody does by itself.",
                    format!(
                        "aws sqs receive-message --region {} --queue-url \"$(aws sqs get-queue-url --region {} --queue-name {name} --query QueueUrl --output text)\" # docs/operate.md says what to do",
                        inventory.region, inventory.region
                    ),
                )
            });
            self.rule(Check::DeadLetters, name, found);
        }
    }

    /// Whether the role can be assumed, and may read and write, only a job tells.
    fn batch_jobs(&mut self) {
        let (check, subject) = (Check::BatchJobs, self.settings.mrap.alias());
        let Some(jobs) = read_of(self, check, subject, &self.inventory.jobs) else {
            return;
        };
        let found = jobs.filter(|jobs| jobs.failures > 0).map(|jobs| {
            broken(
                Warning,
                format!(
                    "the last {} Batch Operations jobs failed: {}",
                    jobs.failures, jobs.last_failure
                ),
                "What fails to replicate stays as it is: nothing can be re-driven.",
                "aws lambda invoke --function-name \"$REDRIVE_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{\"command\":\"redrive-status\"}' /dev/stdout",
            )
        });
        self.rule(check, subject, found);
    }

    /// Only where the stack has the alarm that the self-test sets off.
    fn self_test(&mut self) {
        let inventory = self.inventory;
        let Some(alarm) = inventory
            .alarms
            .iter()
            .find(|(name, look)| name.ends_with("-self-test") && look.found().is_some())
            .map(|(name, _)| name)
        else {
            return;
        };
        let check = Check::SelfTest;
        let Some(records) = read_of(self, check, alarm, &inventory.records) else {
            return;
        };
        let last = records.and_then(|records| records.self_test);
        let late = last.is_none_or(|at| self.now.duration_since(at) > SELF_TEST_MAX_AGE);
        let found = late.then(|| {
            broken(
                Warning,
                match last {
                    Some(at) => format!("the last self-test arrived at {at}"),
                    None => "no self-test has arrived yet".to_owned(),
                },
                "Whether an alarm would reach the failover function is not known.",
                format!(
                    "aws cloudwatch describe-alarm-history --region {} --alarm-name {alarm}",
                    inventory.region
                ),
            )
        });
        self.rule(check, alarm, found);
    }

    fn hold(&mut self) {
        let (check, subject) = (Check::Hold, self.settings.mrap.alias());
        let Some(records) = read_of(self, check, subject, &self.inventory.records) else {
            return;
        };
        let found = records
            .and_then(|records| records.hold.as_ref())
            .filter(|(since, _)| self.now.duration_since(*since) > HOLD_MAX_AGE)
            .map(|(since, reason)| {
                broken(
                    Warning,
                    format!("held since {since}: {reason}"),
                    "Nothing turns the dial by itself, whatever happens.",
                    "aws lambda invoke --function-name \"$FAILOVER_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{\"command\":\"release\",\"reason\":\"maintenance is over\"}' /dev/stdout",
                )
            });
        self.rule(check, subject, found);
    }

    fn rehearsal(&mut self) {
        let (check, subject) = (Check::Rehearsal, self.settings.mrap.alias());
        let Some(records) = read_of(self, check, subject, &self.inventory.records) else {
            return;
        };
        let last = records.and_then(|records| records.last_change);
        let late = last.is_none_or(|at| self.now.duration_since(at) > REHEARSAL_MAX_AGE);
        let found = late.then(|| {
            let to = self.settings.members.iter().nth(1);
            broken(
                Info,
                match last {
                    Some(at) => format!("the routes were last turned at {at}"),
                    None => "the routes were never turned by this stack".to_owned(),
                },
                "The way that was not gone for long is the one that fails at night.",
                format!(
                    "aws lambda invoke --function-name \"$FAILOVER_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{{\"command\":\"rehearse\",\"to\":\"{}\",\"reason\":\"rehearsal\"}}' /dev/stdout",
                    to.map_or("REGION", |member| member.region.as_str())
                ),
            )
        });
        self.rule(check, subject, found);
    }

    fn vantage_point(&mut self) {
        let (check, subject) = (Check::VantagePoint, self.settings.mrap.alias());
        let Some(Some(evidence)) = read_of(self, check, subject, &self.inventory.evidence) else {
            return; // nobody observes yet
        };
        let found = (evidence.vantage_points < 2).then(|| {
            broken(
                Info,
                format!("members are observed from {} alone", self.inventory.region),
                "A disturbance between this Region and a member looks like an outage of the member.",
                "sam deploy # with a witness in another Region: docs/detection.md",
            )
        });
        self.rule(check, subject, found);
    }

    /// What may not be looked at: one finding for each permission.
    fn permissions(&mut self) {
        let mut denied: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (what, trouble) in self.inventory.troubles() {
            if let Trouble::Denied { action } = trouble {
                denied.entry(action).or_default().push(what);
            }
        }
        for (action, things) in denied {
            let found = broken(
                Warning,
                format!("not allowed to look at {}", things.join(", ")),
                "What is wrong there is not found before it hurts.",
                format!(
                    "sam deploy # its role allows {action}; a bucket or key policy, a boundary or another account's bucket may refuse it"
                ),
            );
            self.rule(Check::Permission, &action, Some(found));
        }
        // Nothing to say of permissions that nobody was refused: a former finding is over.
        self.verdict(Check::Permission, "all", Verdict::Sound);
    }
}

fn subscribe(topic: &TopicArn) -> String {
    let region = topic.region();
    let region = region.as_ref().map_or("REGION", |region| region.as_str());
    format!(
        "aws sns subscribe --region {region} --topic-arn {topic} --protocol email --notification-endpoint NAME@EXAMPLE.COM # and confirm it"
    )
}
