//! The stack itself: whether it is told, heard, and tried.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{Bench, broken, listed, read_of};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::names::{Region, TopicArn};
use crate::readiness::check::Check;
use crate::readiness::finding::Verdict;
use crate::readiness::inventory::{AlarmSeen, Looked, Subscription, Trouble};

/// The self-test is daily; two hours are for schedules that fire late.
const SELF_TEST_MAX_AGE: SignedDuration = SignedDuration::from_hours(26);
/// One that was made and is not there by then got lost.
const SELF_TEST_ARRIVES: SignedDuration = SignedDuration::from_hours(1);
/// A way that was not gone for this long is not known to work.
const REHEARSAL_MAX_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A hold for a maintenance is over by then.
const HOLD_MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

impl Bench<'_> {
    pub(super) fn ourselves(&mut self) {
        self.control_region();
        self.topics();
        self.alarm_topic();
        self.alarms();
        self.dead_letters();
        self.batch_jobs();
        self.self_test();
        self.watchdog();
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

    /// The only way for wake-ups, and the first one for alarms. The self-test cannot tell: it has a
    /// second way.
    fn alarm_topic(&mut self) {
        let inventory = self.inventory;
        let Some((topic, look)) = &inventory.alarm_topic else {
            return;
        };
        let check = Check::AlarmTopic;
        let Some(subscriptions) = read_of(self, check, topic.as_str(), look) else {
            return;
        };
        let function = self.settings.failover_function.as_deref();
        let is_it = |one: &Subscription| {
            one.confirmed
                && one.protocol == "lambda"
                && function.is_none_or(|function| one.endpoint == function)
        };
        let name = function.unwrap_or("the failover function");
        let found = (!subscriptions.into_iter().flatten().any(is_it)).then(|| {
            broken(
                Warning,
                match subscriptions {
                    None => format!("there is no topic {topic}"),
                    Some(_) => format!("{name} does not subscribe to {topic}"),
                },
                "No alarm and no wake-up of the health check reaches the failover function through it: it finds an outage later, by its own schedule.",
                format!(
                    "aws sns subscribe --region {} --topic-arn {topic} --protocol lambda --notification-endpoint {}",
                    inventory.region,
                    function.unwrap_or("\"$FAILOVER_FUNCTION_ARN\"")
                ),
            )
        });
        self.rule(check, topic.as_str(), found);
    }

    fn alarms(&mut self) {
        let inventory = self.inventory;
        let region = &inventory.region;
        for (name, look) in &inventory.alarms {
            let Some(alarm) = read_of(self, Check::Alarm, name, look) else {
                continue;
            };
            let found = lacking(name, region, alarm).map(|evidence| {
                let remedy = if alarm.is_some_and(|alarm| alarm.has_actions) {
                    enable(region, name)
                } else {
                    restore(region, name, "template.yaml")
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
            // SQS measures no queue that has been idle for hours: what was in it may be there still.
            let Some(&waiting) = messages else {
                self.verdict(Check::DeadLetters, name, Verdict::Unread);
                continue;
            };
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
        let mut alarms = inventory.alarms.iter();
        let Some((alarm, look)) = alarms.find(|(name, _)| name.ends_with("-self-test")) else {
            return;
        };
        let check = Check::SelfTest;
        if look.found().is_none() {
            return self.verdict(check, alarm, Verdict::Unread);
        }
        let Some(records) = read_of(self, check, alarm, &inventory.records) else {
            return;
        };
        let last = records.and_then(|records| records.self_test);
        let sent = inventory.evidence.found();
        let sent = sent.and_then(|evidence| evidence.self_test_at);
        let overdue = match (last, sent) {
            (Some(at), _) => self.now.duration_since(at) > SELF_TEST_MAX_AGE,
            (None, Some(sent)) if self.now.duration_since(sent) >= SELF_TEST_ARRIVES => true,
            // A stack that was just made has had none.
            (None, _) => return self.verdict(check, alarm, Verdict::Unread),
        };
        let found = overdue.then(|| {
            broken(
                Warning,
                match (last, sent) {
                    (Some(at), _) => format!("the last self-test arrived at {at}"),
                    (None, Some(sent)) => {
                        format!("no self-test has arrived, the last was made at {sent}")
                    }
                    (None, None) => "no self-test has arrived".to_owned(),
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

    /// The stack's own alarms are lost with its Region.
    fn watchdog(&mut self) {
        let (check, subject) = (Check::Watchdog, self.settings.mrap.alias());
        let inventory = self.inventory;
        let name = self.settings.watchdog_alarm();
        let (Some(region), Some(look)) = (&self.settings.heartbeat, &inventory.watchdog) else {
            let found = broken(
                Info,
                "no HEARTBEAT_REGION is set, so there is no watchdog",
                "Nobody tells that the control Region is lost, and with it all that acts by itself.",
                "sam deploy # with HeartbeatRegion, once data-plane/watchdog.yaml is there: docs/detection.md",
            );
            return self.rule(check, subject, Some(found));
        };
        let Some(alarm) = read_of(self, check, subject, look) else {
            return;
        };
        let found = lacking(&name, region, alarm).map(|evidence| {
            let remedy = if alarm.is_some_and(|alarm| alarm.has_actions) {
                enable(region, &name)
            } else {
                restore(region, &name, "data-plane/watchdog.yaml")
            };
            broken(
                Warning,
                evidence,
                "Nobody tells that the control Region is lost, and with it all that acts by itself.",
                remedy,
            )
        });
        self.rule(check, subject, found);
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
                    format!("held since {since:.0}: {reason}"),
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
        let last = records.and_then(|records| records.last_change.max(records.rehearsed));
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
        let unread =
            self.inventory.witness.found().is_none() && self.inventory.witness != Looked::Absent;
        let Looked::Found(evidence) = self.evidence else {
            // Nobody observes yet, or it is not known.
            return self.verdict(check, subject, Verdict::Unread);
        };
        // Of two that are both silent, or sick, neither observes.
        let nobody = self.settings.witness.is_some() && self.believable().is_none();
        if unread || nobody {
            return self.verdict(check, subject, Verdict::Unread);
        }
        let found = (evidence.vantage_points < 2).then(|| {
            let (evidence, remedy) = match &self.settings.witness {
                None => (
                    format!("members are observed from {} alone", self.inventory.region),
                    "sam deploy # with a witness in another Region: docs/detection.md".to_owned(),
                ),
                Some(witness) => (
                    format!(
                        "of {} and the witness in {witness} one is silent or sick, so members are observed from the other alone",
                        self.inventory.region
                    ),
                    format!(
                        "aws s3api list-objects-v2 --bucket {} --prefix evidence --query 'Contents[].[Key,LastModified]' --output text # says which; docs/detection.md",
                        self.settings.state_bucket
                    ),
                ),
            };
            broken(
                Info,
                evidence,
                "A disturbance between one Region and a member looks like an outage of the member.",
                remedy,
            )
        });
        self.rule(check, subject, found);
    }

    /// What may not be looked at: one finding for each permission.
    fn permissions(&mut self) {
        let mut denied: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (what, trouble) in self.inventory.troubles() {
            // While a stack is made its policies come one after the other: once is nothing to tell.
            if let Trouble::Denied { action } = trouble
                && self.before.contains(what.as_str())
            {
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
            )
            .of(&things);
            self.rule(Check::Permission, &action, Some(found));
        }
        // Nothing to say of permissions that nobody was refused: a former finding is over.
        self.verdict(Check::Permission, "all", Verdict::Sound);
    }
}

/// What keeps an alarm from telling anybody.
fn lacking(name: &str, region: &Region, alarm: Option<&AlarmSeen>) -> Option<String> {
    match alarm {
        None => Some(format!("there is no alarm {name} in {region}")),
        Some(alarm) if !alarm.actions_enabled => {
            Some(format!("the actions of alarm {name} are disabled"))
        }
        Some(alarm) if !alarm.has_actions => {
            Some(format!("alarm {name} does nothing when it goes off"))
        }
        Some(_) => None,
    }
}

fn enable(region: &Region, alarm: &str) -> String {
    format!("aws cloudwatch enable-alarm-actions --region {region} --alarm-names {alarm}")
}

/// A deployment sees no change of a resource whose template is the same, whatever became of it.
fn restore(region: &Region, alarm: &str, template: &str) -> String {
    format!(
        "aws cloudformation describe-stack-resources --region {region} --physical-resource-id {alarm} # names its stack; if there is none deploy {template}, else restore the alarm with a change set in --deployment-mode REVERT_DRIFT, for the same template again changes nothing: docs/readiness.md"
    )
}

fn subscribe(topic: &TopicArn) -> String {
    let region = topic.region();
    let region = region.as_ref().map_or("REGION", |region| region.as_str());
    format!(
        "aws sns subscribe --region {region} --topic-arn {topic} --protocol email --notification-endpoint NAME@EXAMPLE.COM # and confirm it"
    )
}
