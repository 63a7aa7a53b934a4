//! The readiness check: a healthy inventory has no finding, each single break exactly its own, and
//! what cannot be looked at hides nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::assigning_clones,
    reason = "a broken assumption must fail the test"
)]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sentinel_core::announce::{Announcement, Event, Severity};
use sentinel_core::decide::Drift;
use sentinel_core::evidence::{
    EVIDENCE_SCHEMA, Evidence, Lag, MemberEvidence, Observer, PairEvidence, Verdict,
};
use sentinel_core::names::Region;
use sentinel_core::readiness::inventory::{
    AlarmSeen, BucketLook, Encryption, EventTarget, Inventory, JobRecords, LifecycleAction, Looked,
    Place, PublicAccess, Records, RouteSeen, Rule, Scope, Subscription, Versioning, WorkLook,
};
use sentinel_core::readiness::notice::{
    DIGEST, ReadinessAnswer, ReadinessCommand, ReadinessOutcome, tell, text,
};
use sentinel_core::readiness::{
    Changes, Check, Finding, REPORT_MAX_AGE, Report, ReportError, TABLE,
};
use sentinel_core::routes::{CONTROL_ENDPOINTS, Dial};
use sentinel_core::settings::{ReadinessSettings, TimeControl};
use serde_json::{Value, json};

const A: &str = "app-use1";
const B: &str = "app-euw1";
const C: &str = "app-apne1";
const QUEUE: &str = "arn:aws:sqs:us-east-2:111122223333:events";
const TOPIC: &str = "arn:aws:sns:us-east-2:111122223333:mrap-sentinel";
const ALARMS: &str = "arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms";
const FAILOVER: &str = "arn:aws:lambda:us-east-2:111122223333:function:failover:live";
const SILENT: &str = "sentinel-failover-silent";
const SELF_TEST: &str = "mrap-sentinel-mfzwi23gnjvgw-self-test";
const LETTERS: &str = "sentinel-dead-letters";

fn now() -> Timestamp {
    "2026-11-20T16:00:00Z".parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn region(text: &str) -> Region {
    text.parse().unwrap()
}

fn settings() -> ReadinessSettings {
    ReadinessSettings::from_lookup(|name| {
        let value = match name {
            "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1,app-apne1@ap-northeast-1",
            "STATE_BUCKET" => "sentinel-state",
            "TOPIC_ARNS" => TOPIC,
            "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1,work-apne1@ap-northeast-1",
            "REPLICATION_EVENTS_QUEUE_ARN" => QUEUE,
            "ALARM_TOPIC_ARN" => ALARMS,
            "FAILOVER_FUNCTION_ARN" => FAILOVER,
            "WITNESS_REGION" | "HEARTBEAT_REGION" => "us-west-2",
            _ => return None,
        };
        Some(value.to_owned())
    })
    .unwrap()
}

fn rule(to: &str) -> Rule {
    Rule {
        id: format!("to-{to}"),
        enabled: true,
        priority: Some(i32::try_from(to.len()).unwrap()),
        scope: Scope::default(),
        deprecated_form: false,
        destination: to.to_owned(),
        account: None,
        metrics: true,
        time_control: false,
        delete_markers: true,
        replica_modifications: true,
        kms_objects: false,
        replica_key: None,
    }
}

fn events_topic(region: &str) -> String {
    format!("arn:aws:sns:{region}:111122223333:app-replication-events")
}

fn delegating() -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Condition": {"StringEquals": {"s3:DataAccessPointAccount": "111122223333"}}},
    ]})
}

fn in_region(name: &str) -> Looked<Place> {
    Looked::Found(Place::Region(name.to_owned()))
}

fn bucket(name: &str, place: &str) -> BucketLook {
    BucketLook {
        member: format!("{name}@{place}").parse().unwrap(),
        place: in_region(place),
        versioning: Looked::Found(Versioning::Enabled),
        replication: Looked::Found(
            [A, B, C]
                .iter()
                .filter(|other| **other != name)
                .map(|other| rule(other))
                .collect(),
        ),
        encryption: Looked::Found(Encryption {
            algorithm: "AES256".to_owned(),
            key: None,
            bucket_key: false,
        }),
        object_lock: Looked::Absent,
        ownership: Looked::Found("BucketOwnerEnforced".to_owned()),
        public_access: Looked::Found(PublicAccess { blocked: true }),
        policy: Looked::Found(delegating()),
        events: Looked::Found(vec![EventTarget {
            arn: events_topic(place),
            filtered: false,
        }]),
        request_metrics: Looked::Found(true),
        lifecycle: Looked::Found(vec![
            LifecycleAction {
                scope: Scope::of_prefix(".mrap-sentinel/"),
                does: "deletes old versions after 1 day".to_owned(),
                removes_noncurrent: true,
            },
            LifecycleAction {
                scope: Scope::of_prefix("tmp/"),
                does: "deletes after 7 days".to_owned(),
                removes_noncurrent: false,
            },
        ]),
        requester_pays: Looked::Found(false),
    }
}

fn confirmed(protocol: &str, endpoint: &str) -> Subscription {
    Subscription {
        protocol: protocol.to_owned(),
        endpoint: endpoint.to_owned(),
        confirmed: true,
    }
}

fn alarm(actions_enabled: bool, has_actions: bool) -> Looked<AlarmSeen> {
    Looked::Found(AlarmSeen {
        actions_enabled,
        has_actions,
    })
}

const PLACES: [(&str, &str); 3] = [(A, "us-east-1"), (B, "eu-west-1"), (C, "ap-northeast-1")];

/// Three members; home alone is active; everything as it should be.
fn healthy() -> Inventory {
    let mut inventory = without_witness();
    inventory.witness = inventory.evidence.clone();
    inventory
}

fn without_witness() -> Inventory {
    let seen: BTreeMap<Region, Timestamp> = PLACES
        .iter()
        .map(|(_, place)| (region(place), now() - SignedDuration::from_secs(12)))
        .collect();
    Inventory {
        region: region("us-east-2"),
        members: PLACES
            .iter()
            .map(|(name, place)| bucket(name, place))
            .collect(),
        work: ["use1@us-east-1", "euw1@eu-west-1", "apne1@ap-northeast-1"]
            .iter()
            .map(|text| {
                let (name, place) = text.split_once('@').unwrap();
                WorkLook {
                    bucket: format!("work-{name}").parse().unwrap(),
                    region: region(place),
                    place: in_region(place),
                    encryption: Looked::Found(Encryption {
                        algorithm: "AES256".to_owned(),
                        key: None,
                        bucket_key: false,
                    }),
                }
            })
            .collect(),
        endpoints: CONTROL_ENDPOINTS
            .iter()
            .map(|endpoint| {
                let routes = PLACES.iter().map(|(name, place)| RouteSeen {
                    bucket: (*name).to_owned(),
                    region: (*place).to_owned(),
                    dial: if *name == A {
                        Dial::Active
                    } else {
                        Dial::Passive
                    },
                });
                (region(endpoint), Looked::Found(routes.collect()))
            })
            .collect(),
        topics: vec![(
            TOPIC.parse().unwrap(),
            Looked::Found(vec![confirmed("email", "sre@example.com")]),
        )],
        event_topics: PLACES
            .iter()
            .map(|(_, place)| {
                (
                    events_topic(place),
                    Looked::Found(vec![confirmed("sqs", QUEUE)]),
                )
            })
            .collect(),
        alarms: [SILENT, SELF_TEST]
            .iter()
            .map(|name| ((*name).to_owned(), alarm(true, true)))
            .collect(),
        watchdog: Some(alarm(true, true)),
        dead_letters: [(LETTERS.to_owned(), Looked::Found(0))].into(),
        alarm_topic: Some((
            ALARMS.parse().unwrap(),
            Looked::Found(vec![confirmed("lambda", FAILOVER)]),
        )),
        evidence: Looked::Found(Evidence {
            schema: EVIDENCE_SCHEMA,
            observed_at: now() - SignedDuration::from_secs(5),
            observer: Observer::Well,
            vantage_points: 1,
            members: PLACES
                .iter()
                .map(|(_, place)| MemberEvidence {
                    region: region(place),
                    verdict: Verdict::Good,
                    detail: String::new(),
                    since: ago(30),
                    last_write: Some(now() - SignedDuration::from_secs(5)),
                    seen: seen.clone(),
                    out_of_scope: BTreeMap::new(),
                    passed_over: BTreeSet::new(),
                    tracked: None,
                    bad_rounds: 0,
                    latency_millis: Some(40),
                })
                .collect(),
            run: None,
            pairs: Vec::new(),
            serving: None,
            self_test_at: Some(ago(20)),
        }),
        witness: Looked::Absent,
        records: Looked::Found(Records {
            last_change: Some(ago(48)),
            rehearsed: Some(ago(24 * 40)),
            self_test: Some(ago(20)),
            hold: None,
        }),
        jobs: Looked::Found(JobRecords::default()),
    }
}

fn member<'a>(inventory: &'a mut Inventory, name: &str) -> &'a mut BucketLook {
    let mut members = inventory.members.iter_mut();
    members
        .find(|one| one.member.bucket.as_str() == name)
        .unwrap()
}

/// The rule from one member to another.
fn of<'a>(inventory: &'a mut Inventory, from: &str, to: &str) -> &'a mut Rule {
    let Looked::Found(rules) = &mut member(inventory, from).replication else {
        panic!("no rules");
    };
    rules
        .iter_mut()
        .find(|rule| rule.destination == to)
        .unwrap()
}

/// Adds a changed copy of the rule from one member to another.
fn add(inventory: &mut Inventory, from: &str, to: &str, change: impl FnOnce(&mut Rule)) {
    let mut rule = of(inventory, from, to).clone();
    let Looked::Found(rules) = &mut member(inventory, from).replication else {
        panic!("no rules");
    };
    rule.id = format!("{}-{}", rule.id, rules.len());
    change(&mut rule);
    rules.push(rule);
}

/// Everything is under KMS, and one member has a Bucket Key.
fn keyed(inventory: &mut Inventory) {
    let key = |name: &str| kms(PLACES.iter().find(|(known, _)| *known == name).unwrap().1);
    every_rule(inventory, |rule| {
        rule.kms_objects = true;
        rule.replica_key = key(&rule.destination).key;
    });
    for name in [A, B, C] {
        member(inventory, name).encryption = Looked::Found(Encryption {
            bucket_key: name == B,
            ..key(name)
        });
    }
}

fn every_rule(inventory: &mut Inventory, change: impl Fn(&mut Rule)) {
    for look in &mut inventory.members {
        if let Looked::Found(rules) = &mut look.replication {
            rules.iter_mut().for_each(&change);
        }
    }
}

/// Changes what the health check and its witness see.
fn evidence(inventory: &mut Inventory, change: impl Fn(&mut Evidence)) {
    for look in [&mut inventory.evidence, &mut inventory.witness] {
        if let Looked::Found(evidence) = look {
            change(evidence);
        }
    }
}

/// The second member has been so for that long, and was well until then.
fn unhealthy(evidence: &mut Evidence, verdict: Verdict, minutes: i64) {
    let since = now() - SignedDuration::from_mins(minutes);
    let member = &mut evidence.members[1];
    member.verdict = verdict;
    member.detail = "canary write: HTTP 403 AccessDenied".to_owned();
    member.since = since;
    member.last_write = Some(since);
}

fn records(inventory: &mut Inventory) -> &mut Records {
    match &mut inventory.records {
        Looked::Found(records) => records,
        _ => panic!("no records"),
    }
}

fn kms(region: &str) -> Encryption {
    Encryption {
        algorithm: "aws:kms".to_owned(),
        key: Some(format!("arn:aws:kms:{region}:111122223333:key/k")),
        bucket_key: false,
    }
}

fn denied<T>(action: &str) -> Looked<T> {
    Looked::Denied {
        action: action.to_owned(),
    }
}

fn failed<T>() -> Looked<T> {
    Looked::Failed {
        detail: "no answer in time".to_owned(),
    }
}

/// A look at that moment, with evidence of then.
fn assess(
    inventory: &Inventory,
    settings: &ReadinessSettings,
    previous: Option<&Report>,
    at: Timestamp,
) -> (Report, Changes) {
    let mut inventory = inventory.clone();
    evidence(&mut inventory, |evidence| {
        evidence.observed_at += at.duration_since(now());
    });
    sentinel_core::readiness::assess(&inventory, settings, previous, at)
}

fn fresh(inventory: &Inventory) -> Report {
    assess(inventory, &settings(), None, now()).0
}

fn ids(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|one| one.id.as_str()).collect()
}

type Break = fn(&mut Inventory);
use Severity::{Critical, Info, Warning};

/// A break; what it is found as; how grave; which Region it makes unfit, for who leaves which.
#[rustfmt::skip]
const BREAKS: &[(Break, &str, Severity, &str)] = &[
    (|i| member(i, B).place = Looked::Absent, "bucket-exists/app-euw1", Critical, "eu-west-1"),
    (|i| member(i, B).place = in_region("eu-central-1"), "bucket-exists/app-euw1", Critical, "eu-west-1"),
    (|i| member(i, B).place = Looked::Found(Place::AnotherAccount), "bucket-exists/app-euw1", Critical, "eu-west-1"),
    (|i| member(i, B).versioning = Looked::Found(Versioning::Suspended), "versioning/app-euw1", Critical, "eu-west-1"),
    (|i| member(i, B).versioning = Looked::Found(Versioning::Never), "versioning/app-euw1", Critical, "eu-west-1"),
    (|i| of(i, A, B).enabled = false, "rule/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| of(i, A, B).destination = "elsewhere".to_owned(), "rule/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| of(i, B, A).enabled = false, "rule/app-euw1 to app-use1", Critical, "us-east-1 from eu-west-1"),
    (|i| member(i, A).encryption = Looked::Found(kms("us-east-1")), "kms-replication/app-use1 to app-apne1 kms-replication/app-use1 to app-euw1", Critical, "ap-northeast-1 from us-east-1, eu-west-1 from us-east-1"),
    (|i| { let rule = of(i, A, B); rule.kms_objects = true; rule.replica_key = Some("arn:aws:kms:us-east-1:111122223333:key/k".to_owned()); }, "kms-replica-key/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| of(i, A, B).kms_objects = true, "kms-replica-key/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| { let rule = of(i, A, B); rule.kms_objects = true; rule.replica_key = Some("alias/app".to_owned()); }, "kms-replica-key/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| { for name in [A, C] { member(i, name).object_lock = Looked::Found(true); } }, "object-lock/app-apne1 to app-euw1 object-lock/app-use1 to app-euw1", Critical, "eu-west-1 from ap-northeast-1, eu-west-1 from us-east-1"),
    (|i| evidence(i, |e| { e.members[1].seen.remove(&region("us-east-1")); }), "canary-arrives/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| evidence(i, |e| { e.members[1].seen.insert(region("us-east-1"), ago(1)); }), "canary-arrives/app-use1 to app-euw1", Critical, ""),
    (|i| { for (from, to) in [(A, B), (B, A)] { add(i, from, to, |rule| rule.scope = Scope::of_prefix("logs/")); of(i, from, to).scope = Scope::of_prefix(".mrap-sentinel/"); } add(i, A, B, |rule| { rule.scope = Scope::default(); rule.enabled = false; }); }, "rule/app-use1 to app-euw1", Critical, "eu-west-1 from us-east-1"),
    (|i| { for (_, routes) in &mut i.endpoints { if let Looked::Found(routes) = routes { routes.pop(); } } }, "members-match/mfzwi23gnjvgw.mrap", Critical, ""),
    (|i| i.endpoints[2].1 = Looked::Absent, "control-endpoint/eu-west-1", Warning, ""),
    (|i| i.topics[0].1 = Looked::Found(vec![]), "topic-subscribed/arn:aws:sns:us-east-2:111122223333:mrap-sentinel", Critical, ""),
    (|i| i.topics[0].1 = Looked::Absent, "topic-subscribed/arn:aws:sns:us-east-2:111122223333:mrap-sentinel", Critical, ""),
    (|i| i.topics[0].1 = Looked::Found(vec![Subscription { confirmed: false, ..confirmed("email", "sre@example.com") }]), "topic-subscribed/arn:aws:sns:us-east-2:111122223333:mrap-sentinel", Critical, ""),
    (|i| i.topics.push(("arn:aws:sns:us-west-2:111122223333:second".parse().unwrap(), Looked::Found(vec![]))), "topic-subscribed/arn:aws:sns:us-west-2:111122223333:second", Warning, ""),
    (|i| evidence(i, |e| unhealthy(e, Verdict::Misconfigured, 11)), "member-healthy/app-euw1", Warning, ""),
    (|i| of(i, B, A).scope = Scope { tags: [("copy".to_owned(), "yes".to_owned())].into(), ..Scope::default() }, "canary-scope/app-euw1 to app-use1 rule-form/app-euw1 to app-use1 rule-scope/app-use1 and app-euw1", Warning, ""),
    (|i| of(i, B, A).deprecated_form = true, "rule-form/app-euw1 to app-use1", Warning, ""),
    (|i| of(i, B, A).account = Some("444455556666".to_owned()), "rule-form/app-euw1 to app-use1", Warning, ""),
    (|i| add(i, B, A, |_| {}), "rule-form/app-euw1 to app-use1", Warning, ""),
    (|i| { let rule = of(i, B, A); rule.time_control = true; rule.metrics = false; }, "rule-form/app-euw1 to app-use1 rule-metrics/app-euw1 to app-use1", Warning, ""),
    (|i| of(i, A, B).metrics = false, "rule-metrics/app-use1 to app-euw1", Warning, ""),
    (|i| of(i, A, B).delete_markers = false, "delete-markers/app-use1 and app-euw1", Warning, ""),
    (|i| of(i, A, B).replica_modifications = false, "replica-modifications/app-use1 and app-euw1", Warning, ""),
    (|i| { of(i, A, B).replica_modifications = false; of(i, B, A).replica_modifications = false; }, "replica-modifications/app-use1 and app-euw1", Info, ""),
    (|i| every_rule(i, |rule| rule.scope = Scope::of_prefix("data/")), "canary-scope/app-apne1 to app-euw1 canary-scope/app-apne1 to app-use1 canary-scope/app-euw1 to app-apne1 canary-scope/app-euw1 to app-use1 canary-scope/app-use1 to app-apne1 canary-scope/app-use1 to app-euw1", Warning, ""),
    (|i| member(i, B).ownership = Looked::Absent, "ownership/app-euw1", Warning, ""),
    (|i| member(i, B).ownership = Looked::Found("ObjectWriter".to_owned()), "ownership/app-euw1", Warning, ""),
    (|i| member(i, B).public_access = Looked::Absent, "public-access/app-euw1", Warning, ""),
    (|i| member(i, B).public_access = Looked::Found(PublicAccess { blocked: false }), "public-access/app-euw1", Warning, ""),
    (|i| member(i, B).policy = Looked::Absent, "delegation/app-euw1", Warning, ""),
    (|i| member(i, B).policy = Looked::Found(json!({"Statement": {"Effect": "Allow"}})), "delegation/app-euw1", Warning, ""),
    (|i| member(i, B).events = Looked::Found(vec![]), "replication-events/app-euw1", Warning, ""),
    (|i| member(i, B).events = Looked::Found(vec![EventTarget { arn: events_topic("eu-west-1"), filtered: true }]), "replication-events/app-euw1", Warning, ""),
    (|i| { i.event_topics.insert(events_topic("eu-west-1"), Looked::Found(vec![confirmed("sqs", "arn:aws:sqs:us-east-2:111122223333:other")])); }, "replication-events/app-euw1", Warning, ""),
    (|i| { i.event_topics.insert(events_topic("eu-west-1"), Looked::Absent); }, "replication-events/app-euw1", Warning, ""),
    (|i| { if let Looked::Found(actions) = &mut member(i, B).lifecycle { actions.pop(); } }, "lifecycle/app-euw1", Warning, ""),
    (|i| member(i, B).requester_pays = Looked::Found(true), "requester-pays/app-euw1", Warning, ""),
    (|i| { for name in [A, C] { member(i, name).requester_pays = Looked::Found(true); } }, "requester-pays/app-euw1", Warning, ""),
    (|i| i.work[1].place = Looked::Absent, "work-bucket/work-euw1", Warning, ""),
    (|i| i.work[1].place = in_region("us-east-1"), "work-bucket/work-euw1", Warning, ""),
    (|i| i.work[1].place = Looked::Found(Place::AnotherAccount), "work-bucket/work-euw1", Warning, ""),
    (|i| i.work[1].encryption = Looked::Found(kms("eu-west-1")), "work-bucket-encryption/work-euw1", Warning, ""),
    (|i| { for (_, routes) in &mut i.endpoints { if let Looked::Found(routes) = routes { routes[1].dial = Dial::Undefined(10); } } }, "dials/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| { i.alarms.insert(SILENT.to_owned(), Looked::Absent); }, "alarm/sentinel-failover-silent", Warning, ""),
    (|i| { i.alarms.insert(SILENT.to_owned(), alarm(false, true)); }, "alarm/sentinel-failover-silent", Warning, ""),
    (|i| { i.alarms.insert(SILENT.to_owned(), alarm(true, false)); }, "alarm/sentinel-failover-silent", Warning, ""),
    (|i| { i.dead_letters.insert(LETTERS.to_owned(), Looked::Found(3)); }, "dead-letters/sentinel-dead-letters", Warning, ""),
    (|i| i.jobs = Looked::Found(JobRecords { failures: 2, last_failure: "AssumeRoleNotPermitted".to_owned() }), "batch-jobs/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| i.region = region("eu-west-1"), "control-region/eu-west-1", Warning, ""),
    (|i| records(i).self_test = Some(ago(27)), "self-test/mrap-sentinel-mfzwi23gnjvgw-self-test", Warning, ""),
    (|i| { records(i).self_test = None; evidence(i, |e| e.self_test_at = Some(ago(1))); }, "self-test/mrap-sentinel-mfzwi23gnjvgw-self-test", Warning, ""),
    (|i| i.watchdog = Some(Looked::Absent), "watchdog/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| i.watchdog = Some(alarm(false, true)), "watchdog/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| i.watchdog = Some(alarm(true, false)), "watchdog/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| records(i).hold = Some((ago(25), "night work".to_owned())), "hold/mfzwi23gnjvgw.mrap", Warning, ""),
    (|i| { for (_, routes) in &mut i.endpoints { if let Looked::Found(routes) = routes { routes[0].dial = Dial::Passive; routes[1].dial = Dial::Active; } } }, "topology/mfzwi23gnjvgw.mrap", Info, ""),
    (|i| member(i, B).request_metrics = Looked::Found(false), "request-metrics/app-euw1", Info, ""),
    (|i| { if let Looked::Found(actions) = &mut member(i, B).lifecycle { actions.remove(0); } }, "canary-hygiene/app-euw1", Info, ""),
    (|i| { records(i).last_change = Some(ago(91 * 24)); records(i).rehearsed = Some(ago(92 * 24)); }, "rehearsal/mfzwi23gnjvgw.mrap", Info, ""),
    (|i| { records(i).last_change = None; records(i).rehearsed = None; }, "rehearsal/mfzwi23gnjvgw.mrap", Info, ""),
    (|i| i.witness = Looked::Absent, "vantage-point/mfzwi23gnjvgw.mrap", Info, ""),
    (|i| { if let Looked::Found(witness) = &mut i.witness { witness.observed_at = ago(1); } }, "vantage-point/mfzwi23gnjvgw.mrap", Info, ""),
    (|i| { keyed(i); i.evidence = Looked::Absent; i.witness = Looked::Absent; }, "bucket-key/app-apne1 to app-euw1 bucket-key/app-euw1 to app-apne1 bucket-key/app-euw1 to app-use1 bucket-key/app-use1 to app-euw1", Info, ""),
    (|i| { if let Some((_, look)) = &mut i.alarm_topic { *look = Looked::Found(vec![confirmed("email", "sre@example.com")]); } }, "alarm-topic/arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms", Warning, ""),
    (|i| { if let Some((_, look)) = &mut i.alarm_topic { *look = Looked::Found(vec![confirmed("lambda", "arn:aws:lambda:us-east-2:111122223333:function:other:live")]); } }, "alarm-topic/arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms", Warning, ""),
    (|i| { if let Some((_, look)) = &mut i.alarm_topic { *look = Looked::Absent; } }, "alarm-topic/arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms", Warning, ""),
];

#[test]
fn a_healthy_inventory_has_no_finding() {
    let report = fresh(&healthy());
    assert_eq!(ids(&report), <[&str; 0]>::default());
    assert!(report.unread.is_empty());
    assert!(report.checked > 100, "{} checked", report.checked);
    let answer = ReadinessAnswer::of(ReadinessCommand::Tick, &report, &Changes::default());
    assert_eq!(answer.outcome, ReadinessOutcome::Ready);
}

#[test]
fn each_break_is_found_and_nothing_else() {
    for (index, (disturb, expected, severity, unfit)) in BREAKS.iter().enumerate() {
        let mut inventory = healthy();
        disturb(&mut inventory);
        let report = fresh(&inventory);
        let mut found = ids(&report);
        found.sort_unstable();
        assert_eq!(found.join(" "), *expected, "break {index}");
        let mut makes_unfit = BTreeSet::new();
        for finding in &report.findings {
            assert_eq!(finding.severity, *severity, "break {index}: {}", finding.id);
            for text in [&finding.evidence, &finding.consequence, &finding.remedy] {
                assert!(!text.is_empty(), "break {index}: {}", finding.id);
            }
            assert!(finding.consequence.ends_with('.'), "break {index}");
            assert!(
                ["aws ", "sam "]
                    .iter()
                    .any(|begins| finding.remedy.starts_with(begins)),
                "break {index}: {}",
                finding.remedy
            );
            let row = TABLE.iter().find(|row| row.check == finding.check).unwrap();
            assert!(finding.severity <= row.worst, "break {index}");
            for target in &finding.targets {
                makes_unfit.insert(match &finding.leaving {
                    Some(from) => format!("{target} from {from}"),
                    None => target.to_string(),
                });
            }
        }
        let makes_unfit: Vec<String> = makes_unfit.into_iter().collect();
        assert_eq!(makes_unfit.join(", "), *unfit, "break {index}");
    }
}

#[test]
fn every_check_of_the_table_is_broken_by_something() {
    let broken: BTreeSet<&str> = BREAKS
        .iter()
        .flat_map(|(_, expected, ..)| {
            let words = expected.split(' ');
            words
                .filter_map(|id| id.split_once('/'))
                .map(|(name, _)| name)
        })
        .collect();
    for row in TABLE {
        // Those need settings or a report before; tests of their own have them.
        let apart = [Check::TimeControl, Check::Readable, Check::Permission];
        if !apart.contains(&row.check) {
            assert!(broken.contains(row.name), "{}", row.name);
        }
    }
}

#[test]
fn time_control_is_as_declared() {
    for (declared, time_control, expected) in [
        (TimeControl::Any, true, ""),
        (TimeControl::Any, false, ""),
        (TimeControl::Enabled, true, ""),
        (TimeControl::Disabled, false, ""),
        (
            TimeControl::Enabled,
            false,
            "time-control/app-use1 to app-euw1",
        ),
        (
            TimeControl::Disabled,
            true,
            "time-control/app-use1 to app-euw1",
        ),
    ] {
        let mut inventory = healthy();
        let others = declared == TimeControl::Enabled;
        every_rule(&mut inventory, |rule| rule.time_control = others);
        of(&mut inventory, A, B).time_control = time_control;
        let mut settings = settings();
        settings.time_control = declared;
        let (report, _) = assess(&inventory, &settings, None, now());
        assert_eq!(
            ids(&report).join(" "),
            expected,
            "{declared:?} {time_control}"
        );
    }
}

/// What may look odd and is in order.
#[test]
fn what_is_no_drift() {
    type Change<'a> = &'a dyn Fn(&mut Inventory);
    let regional = json!({"Statement": {"Effect": "Allow", "Condition": {"StringLike": {
        "s3:DataAccessPointArn": "arn:aws:s3:eu-west-1:111122223333:accesspoint/team"}}}});
    let tagged = |markers: bool| {
        move |rule: &mut Rule| {
            rule.scope.tags.insert("copy".to_owned(), "yes".to_owned());
            rule.delete_markers = markers;
            rule.replica_modifications = true;
            rule.priority = Some(90);
        }
    };
    let narrower = |markers: bool| {
        move |rule: &mut Rule| {
            rule.scope = Scope::of_prefix("logs/");
            rule.delete_markers = markers;
            rule.priority = Some(90);
        }
    };
    let changes: &[(&str, Change<'_>, &str)] = &[
        (
            "a disabled rule about what another one replicates",
            &|i| {
                add(i, A, B, |rule| {
                    rule.scope = Scope::of_prefix("logs/");
                    rule.enabled = false;
                });
            },
            "",
        ),
        (
            "delete markers by the bucket and not by tag, both ways",
            &|i| {
                add(i, A, B, tagged(false));
                add(i, B, A, tagged(false));
            },
            "",
        ),
        (
            "the same by tag one way only",
            &|i| {
                add(i, A, B, tagged(false));
                add(i, B, A, tagged(true));
            },
            "delete-markers/app-use1 and app-euw1 rule-form/app-euw1 to app-use1",
        ),
        (
            "a rule without KMS that another one shadows",
            &|i| {
                keyed(i);
                add(i, A, B, |rule| {
                    rule.scope = Scope::of_prefix("logs/");
                    rule.kms_objects = false;
                    rule.priority = Some(1);
                });
                add(i, B, A, |rule| {
                    rule.scope = Scope::of_prefix("logs/");
                    rule.priority = Some(1);
                });
            },
            "",
        ),
        (
            "the same with the higher priority",
            &|i| {
                keyed(i);
                add(i, A, B, |rule| {
                    rule.scope = Scope::of_prefix("logs/");
                    rule.kms_objects = false;
                    rule.priority = Some(99);
                });
                add(i, B, A, |rule| {
                    rule.scope = Scope::of_prefix("logs/");
                    rule.priority = Some(99);
                });
            },
            "kms-replication/app-use1 to app-euw1",
        ),
        (
            "a regional access point of one member",
            &|i| {
                for name in [A, B, C] {
                    member(i, name).policy = Looked::Absent;
                }
                member(i, B).policy = Looked::Found(regional.clone());
            },
            "",
        ),
        (
            "no self-test on a stack that made none",
            &|i| {
                records(i).self_test = None;
                evidence(i, |evidence| evidence.self_test_at = None);
            },
            "",
        ),
        (
            "a first self-test that is under way",
            &|i| {
                records(i).self_test = None;
                evidence(i, |evidence| {
                    evidence.self_test_at = Some(now() - SignedDuration::from_mins(59));
                });
            },
            "",
        ),
        (
            "a rule one way only about what wider ones have both ways",
            &|i| add(i, A, B, narrower(true)),
            "",
        ),
        (
            "the same, and it says another thing of delete markers",
            &|i| add(i, A, B, narrower(false)),
            "delete-markers/app-use1 and app-euw1",
        ),
        ("a Bucket Key and canaries that arrive", &keyed, ""),
        (
            "requesters pay everywhere",
            &|i| {
                for name in [A, B, C] {
                    member(i, name).requester_pays = Looked::Found(true);
                }
            },
            "",
        ),
    ];
    for (what, change, expected) in changes {
        let mut inventory = healthy();
        change(&mut inventory);
        let report = fresh(&inventory);
        let mut found = ids(&report);
        found.sort_unstable();
        assert_eq!(found.join(" "), *expected, "{what}");
    }
}

#[test]
fn a_prefix_that_only_begins_like_the_canaries_is_the_users() {
    let mut settings = settings();
    settings.canary_prefix = "app".to_owned();
    let mut inventory = healthy();
    every_rule(&mut inventory, |rule| {
        rule.scope = Scope::of_prefix("app-data/");
    });
    let (report, _) = assess(&inventory, &settings, None, now());
    assert!(!report.findings.iter().any(|one| one.check == Check::Rule));
    every_rule(&mut inventory, |rule| rule.scope = Scope::of_prefix("app/"));
    let (report, _) = assess(&inventory, &settings, None, now());
    assert!(report.findings.iter().any(|one| one.check == Check::Rule));
}

/// Nobody can tell how long canaries take to the second member.
fn untold(evidence: &mut Evidence, reason: &str) {
    evidence.pairs = [A, C]
        .iter()
        .map(|source| PairEvidence {
            source: region(PLACES.iter().find(|(name, _)| name == source).unwrap().1),
            destination: region("eu-west-1"),
            exposure_seconds: None,
            lag: Lag::Unknown {
                reason: reason.to_owned(),
            },
            waiting_since: None,
            pending_operations: None,
            pending_bytes: None,
            latency_seconds: None,
            failed_operations: None,
            metrics_at: None,
        })
        .collect();
}

/// Whether it arrived is not known: a warning, which stands in nobody's way.
#[test]
fn a_canary_that_may_not_be_read_blocks_nothing() {
    let mut inventory = healthy();
    evidence(&mut inventory, |evidence| {
        evidence.members[1].seen.clear();
        untold(evidence, "it may not be read");
    });
    let report = fresh(&inventory);
    let expected = [
        "canary-arrives/app-apne1 to app-euw1",
        "canary-arrives/app-use1 to app-euw1",
    ];
    assert_eq!(ids(&report), expected);
    for finding in &report.findings {
        assert_eq!((finding.severity, finding.targets.len()), (Warning, 0));
        assert!(finding.evidence.contains("may not be read"));
        assert!(finding.remedy.contains("MemberKmsKeyArns"));
    }
    // No key helps where S3 says that no rule copies them.
    evidence(&mut inventory, |evidence| {
        let uncovered = &mut evidence.members[1].out_of_scope;
        uncovered.insert(region("us-east-1"), None);
    });
    let report = fresh(&inventory);
    let remedies: Vec<(bool, bool)> = report
        .findings
        .iter()
        .map(|one| {
            let has = |part| one.remedy.contains(part);
            (
                has("MemberKmsKeyArns"),
                has("let a rule cover .mrap-sentinel/"),
            )
        })
        .collect();
    assert_eq!(remedies, [(true, false), (false, true)]);
}

/// What was read while it was allowed gets older by itself.
#[test]
fn a_canary_that_may_not_be_read_any_more_is_not_late() {
    for (seconds, expected) in [(599, ""), (7200, "canary-arrives/app-use1 to app-euw1")] {
        let mut inventory = healthy();
        evidence(&mut inventory, |evidence| {
            let last = now() - SignedDuration::from_secs(seconds);
            evidence.members[1].seen.insert(region("us-east-1"), last);
            untold(evidence, "it may not be read");
        });
        let report = fresh(&inventory);
        assert_eq!(ids(&report).join(" "), expected, "{seconds}");
        for finding in &report.findings {
            assert_eq!((finding.severity, finding.targets.len()), (Warning, 0));
            assert!(finding.remedy.contains("MemberKmsKeyArns"));
        }
    }
}

/// No exposure is measured then, so the guard of the loss does not stop a failover.
#[test]
fn a_canary_that_s3_skips_makes_the_destination_unfit() {
    let mut inventory = healthy();
    evidence(&mut inventory, |evidence| {
        untold(evidence, "no rule brings them there");
        evidence.pairs.pop();
        let there = &mut evidence.members[1];
        let left = there.seen.remove(&region("us-east-1"));
        there.out_of_scope.insert(region("us-east-1"), left);
        there.passed_over.insert(region("us-east-1"));
    });
    let report = fresh(&inventory);
    assert_eq!(ids(&report), ["canary-arrives/app-use1 to app-euw1"]);
    let finding = &report.findings[0];
    assert_eq!(finding.severity, Critical);
    assert_eq!(finding.targets, [region("eu-west-1")]);
    assert_eq!(finding.leaving, Some(region("us-east-1")));
    for part in ["head-object", "ReplicationStatus", "get-bucket-replication"] {
        assert!(finding.remedy.contains(part), "{}", finding.remedy);
    }
    // Where no rule covers the canary that is said, and nothing is known of the rest.
    of(&mut inventory, A, B).scope = Scope::of_prefix("data/");
    assert!(!ids(&fresh(&inventory)).contains(&"canary-arrives/app-use1 to app-euw1"));
}

/// Nobody looks at a standby but the health check, and its word decides about a failover.
#[test]
fn a_member_that_has_not_been_healthy_is_told_once_until_it_is() {
    const ID: &str = "member-healthy/app-euw1";
    type Change<'a> = &'a dyn Fn(&mut Evidence);
    let look = |previous: Option<&Report>, change: Change<'_>, at: Timestamp| {
        let mut inventory = healthy();
        evidence(&mut inventory, change);
        assess(&inventory, &settings(), previous, at)
    };
    let (before, changes) = look(None, &|e| unhealthy(e, Verdict::Bad, 190), ago(3));
    assert!(changes.is_empty(), "{:?}", ids(&before));
    let (found, changes) = look(Some(&before), &|e| unhealthy(e, Verdict::Bad, 200), ago(2));
    assert_eq!(ids(&found), [ID]);
    assert_eq!(changes.new.len(), 1);
    let finding = &found.findings[0];
    assert!(finding.targets.is_empty(), "the guard has later news");
    for part in ["app-euw1", "eu-west-1", "bad", "2026-11-20T12:40:00Z"] {
        assert!(finding.evidence.contains(part), "{}", finding.evidence);
    }
    // A new verdict, or another vantage point's, makes it no shorter.
    let (again, changes) = look(
        Some(&found),
        &|e| {
            unhealthy(e, Verdict::Throttled, 260);
            e.members[1].since = now();
        },
        ago(1),
    );
    assert!(changes.is_empty());
    assert!(again.findings[0].evidence.contains("throttled"));
    // It stands while nobody knows.
    let unknown: [Change<'_>; 4] = [
        &|e| e.observed_at = ago(2),
        &|e| {
            e.observer = Observer::Sick {
                reason: String::new(),
            };
        },
        &|e| e.members.clear(),
        &|e| unhealthy(e, Verdict::Misconfigured, 3),
    ];
    for (index, change) in unknown.into_iter().enumerate() {
        let (report, changes) = look(Some(&found), change, now());
        let stays = report.findings.iter().find(|one| one.id == ID);
        assert!(stays.is_some_and(|one| one.unconfirmed), "{index}");
        assert!(changes.fixed.is_empty(), "{index}");
    }
    let (report, changes) = look(Some(&found), &|_| {}, now());
    assert!(report.findings.is_empty());
    assert_eq!(changes.fixed[0].id, ID);
    // A bucket that is gone is said to be gone.
    let mut inventory = healthy();
    evidence(&mut inventory, |e| {
        unhealthy(e, Verdict::Misconfigured, 200);
    });
    member(&mut inventory, B).place = Looked::Absent;
    assert_eq!(ids(&fresh(&inventory)), ["bucket-exists/app-euw1"]);
    // One that cannot be looked at is not.
    member(&mut inventory, B).place = failed();
    assert_eq!(ids(&fresh(&inventory)), [ID]);
}

/// Whether the keys allow it does not change with what can be seen of it, or with a backlog.
#[test]
fn a_bucket_key_is_no_news_while_canaries_are_late_or_nobody_knows() {
    const ID: &str = "bucket-key/app-use1 to app-euw1";
    let unknown: [Break; 2] = [
        |i| {
            evidence(i, |e| {
                let late = now() - SignedDuration::from_secs(1000);
                e.members[1].seen.insert(region("us-east-1"), late);
            });
        },
        |i| {
            i.evidence = failed();
            i.witness = failed();
        },
    ];
    let mut sound = healthy();
    keyed(&mut sound);
    let mut found = sound.clone();
    evidence(&mut found, |e| {
        e.members[1].seen.clear();
    });
    for (index, disturb) in unknown.into_iter().enumerate() {
        let mut inventory = sound.clone();
        disturb(&mut inventory);
        assert_eq!(ids(&fresh(&inventory)), <[&str; 0]>::default(), "{index}");
        // What was found stands.
        let (before, _) = assess(&found, &settings(), None, ago(1));
        assert!(ids(&before).contains(&ID));
        let (after, changes) = assess(&inventory, &settings(), Some(&before), now());
        let stays = after.findings.iter().find(|one| one.id == ID).unwrap();
        assert!(stays.unconfirmed, "{index}");
        assert!(!changes.fixed.iter().any(|one| one.id == ID), "{index}");
    }
    let (before, _) = assess(&found, &settings(), None, ago(1));
    let (_, changes) = assess(&sound, &settings(), Some(&before), now());
    assert!(changes.fixed.iter().any(|one| one.id == ID));
}

/// A stack may go without; that nobody watches it is on record all the same.
#[test]
fn a_stack_without_a_watchdog_says_so() {
    let mut settings = settings();
    assert_eq!(
        settings.watchdog_alarm(),
        "mrap-sentinel-mfzwi23gnjvgw-watchdog"
    );
    settings.heartbeat = None;
    let mut inventory = healthy();
    inventory.watchdog = None;
    let (report, _) = assess(&inventory, &settings, None, now());
    assert_eq!(ids(&report), ["watchdog/mfzwi23gnjvgw.mrap"]);
    assert_eq!(report.findings[0].severity, Info);
}

/// A remedy is about the bucket that lacks something, whichever of the two it is.
#[test]
fn a_remedy_names_the_bucket_whose_rule_lacks_it() {
    type Lack = fn(&mut Rule);
    let lacks: [(Check, Lack); 3] = [
        (Check::RuleScope, |rule| {
            rule.scope = Scope::of_prefix("data/");
        }),
        (Check::DeleteMarkers, |rule| rule.delete_markers = false),
        (Check::ReplicaModifications, |rule| {
            rule.replica_modifications = false;
        }),
    ];
    let remedy = |inventory: &Inventory, check: Check| {
        let report = fresh(inventory);
        let mut findings = report.findings.into_iter();
        findings.find(|one| one.check == check).unwrap().remedy
    };
    for (check, lack) in lacks {
        for (from, to) in [(A, B), (B, A)] {
            let mut inventory = healthy();
            lack(of(&mut inventory, from, to));
            let remedy = remedy(&inventory, check);
            let command = remedy.split('#').next().unwrap();
            assert!(
                command.contains(&format!("--bucket {from} ")),
                "{check}: {remedy}"
            );
        }
    }
    let mut inventory = healthy();
    every_rule(&mut inventory, |rule| rule.replica_modifications = false);
    let both = remedy(&inventory, Check::ReplicaModifications);
    assert!(both.contains("--bucket app-euw1 "), "{both}");
    assert!(
        both.contains("here and in app-apne1 of ap-northeast-1"),
        "{both}"
    );
}

#[test]
fn a_remedy_begins_with_what_can_be_typed() {
    let remedy = |disturb: Break| {
        let mut inventory = healthy();
        disturb(&mut inventory);
        fresh(&inventory).findings.remove(0).remedy
    };
    let events = remedy(|i| member(i, B).events = Looked::Found(vec![]));
    assert!(events.starts_with("aws s3api get-bucket-notification-configuration"));
    assert!(events.contains("# data-plane/deploy"), "{events}");
    // Where nothing is configured there is nothing to be got and edited.
    let rules = remedy(|i| member(i, B).replication = Looked::Absent);
    assert!(
        rules.starts_with("aws s3api put-bucket-replication"),
        "{rules}"
    );
    assert!(rules.contains("docs/existing.md"), "{rules}");
    let rules = remedy(|i| of(i, A, B).enabled = false);
    assert!(
        rules.contains("--output json > replication.json"),
        "{rules}"
    );
    let of_lifecycle = |disturb: Break, check: Check| {
        let mut inventory = healthy();
        disturb(&mut inventory);
        let report = fresh(&inventory);
        let mut findings = report.findings.into_iter();
        findings.find(|one| one.check == check).unwrap().remedy
    };
    let canaries = of_lifecycle(
        |i| member(i, B).lifecycle = Looked::Absent,
        Check::CanaryHygiene,
    );
    assert!(
        canaries.starts_with("aws s3api put-bucket-lifecycle-configuration"),
        "{canaries}"
    );
    let differ = of_lifecycle(
        |i| member(i, A).lifecycle = Looked::Absent,
        Check::Lifecycle,
    );
    assert!(
        !differ.split('#').next().unwrap().contains(A),
        "home has none: {differ}"
    );
    // CloudFormation sees no change of what somebody deleted.
    for seen in [Looked::Absent, alarm(true, false)] {
        let mut inventory = healthy();
        inventory.alarms.insert(SILENT.to_owned(), seen);
        let remedy = &fresh(&inventory).findings[0].remedy;
        assert!(remedy.contains("REVERT_DRIFT"), "{remedy}");
    }
}

/// Whoever pastes it has to know what it does besides.
#[test]
fn a_remedy_that_may_hurt_says_so() {
    let cases: [(Break, &str); 4] = [
        (
            |i| member(i, B).versioning = Looked::Found(Versioning::Never),
            "not removed",
        ),
        (
            |i| member(i, B).ownership = Looked::Absent,
            "AccessControlListNotSupported",
        ),
        (
            |i| member(i, B).public_access = Looked::Absent,
            "public on purpose",
        ),
        (
            |i| member(i, A).object_lock = Looked::Found(true),
            "never be switched off",
        ),
    ];
    for (disturb, expected) in cases {
        let mut inventory = healthy();
        disturb(&mut inventory);
        let report = fresh(&inventory);
        let remedy = &report.findings[0].remedy;
        let (_, mind) = remedy.split_once(" # ").unwrap();
        assert!(mind.contains(expected), "{remedy}");
    }
}

/// The report of two looks at the same.
fn twice(inventory: &Inventory) -> (Report, Changes) {
    let (before, _) = assess(inventory, &settings(), None, ago(1));
    assess(inventory, &settings(), Some(&before), now())
}

#[test]
fn an_endpoint_is_found_silent_the_second_time() {
    let mut inventory = healthy();
    inventory.endpoints[2].1 = failed();
    let report = fresh(&inventory);
    assert_eq!(ids(&report), <[&str; 0]>::default());
    assert_eq!(report.unread[0].what, "routes at eu-west-1");
    let (report, _) = twice(&inventory);
    assert_eq!(ids(&report), ["control-endpoint/eu-west-1"]);
    assert_eq!(report.count(Warning), 1);
    for (_, routes) in &mut inventory.endpoints {
        *routes = failed();
    }
    let first = fresh(&inventory);
    let answer = ReadinessAnswer::of(ReadinessCommand::Tick, &first, &Changes::default());
    assert_eq!(answer.outcome, ReadinessOutcome::Unknown);
    let (report, _) = twice(&inventory);
    assert_eq!(report.count(Critical), 5, "{:?}", ids(&report));
    assert_eq!(report.findings.len(), 5, "{:?}", ids(&report));
}

#[test]
fn what_cannot_be_read_stands_as_it_was() {
    let mut inventory = healthy();
    member(&mut inventory, B).versioning = Looked::Found(Versioning::Suspended);
    let (before, _) = assess(&inventory, &settings(), None, ago(2));
    for unreadable in [failed(), denied("s3:GetBucketVersioning")] {
        let mut inventory = healthy();
        member(&mut inventory, B).versioning = unreadable;
        let (after, changes) = assess(&inventory, &settings(), Some(&before), ago(1));
        let finding = &after.findings[0];
        assert_eq!(finding.id, "versioning/app-euw1");
        assert!(finding.unconfirmed);
        assert_eq!(finding.since, ago(2));
        assert!(changes.fixed.is_empty());
        assert!(matches!(after.drift(now()), Drift::Known { findings, .. } if findings.len() == 1));
        // A whole bucket that cannot be reached is no different.
        let mut inventory = healthy();
        member(&mut inventory, B).place = failed();
        let (after, _) = assess(&inventory, &settings(), Some(&before), ago(1));
        assert!(ids(&after).contains(&"versioning/app-euw1"));
    }
    let (after, changes) = assess(&healthy(), &settings(), Some(&before), ago(1));
    assert!(after.findings.is_empty());
    assert_eq!(changes.fixed[0].id, "versioning/app-euw1");
}

#[test]
fn one_look_without_an_answer_tells_nobody_the_second_does() {
    let mut inventory = healthy();
    member(&mut inventory, B).policy = failed();
    let (first, changes) = assess(&inventory, &settings(), None, ago(2));
    assert!(first.findings.is_empty() && changes.is_empty());
    assert_eq!(first.unread[0].what, "app-euw1: bucket policy");
    let (second, changes) = assess(&inventory, &settings(), Some(&first), ago(1));
    assert_eq!(ids(&second), ["readable/app-euw1: bucket policy"]);
    assert_eq!(changes.new.len(), 1);
    let (third, changes) = assess(&healthy(), &settings(), Some(&second), now());
    assert!(third.findings.is_empty());
    assert_eq!(changes.fixed[0].check, Check::Readable);
}

#[test]
fn a_missing_permission_is_one_finding_however_many_buckets() {
    let mut inventory = healthy();
    for look in &mut inventory.members {
        look.policy = denied("s3:GetBucketPolicy");
        look.lifecycle = denied("s3:GetLifecycleConfiguration");
    }
    assert_eq!(
        ids(&fresh(&inventory)),
        <[&str; 0]>::default(),
        "the policies of a new stack come one by one"
    );
    let (report, changes) = twice(&inventory);
    let expected = [
        "permission/s3:GetBucketPolicy",
        "permission/s3:GetLifecycleConfiguration",
    ];
    assert_eq!(ids(&report), expected);
    assert_eq!(changes.new.len(), 2);
    for name in [A, B, C] {
        assert!(report.findings[0].evidence.contains(name));
    }
    let (after, changes) = assess(&healthy(), &settings(), Some(&report), now());
    assert!(after.findings.is_empty());
    assert_eq!(changes.fixed.len(), 2);
}

/// No answer is no permission.
#[test]
fn a_missing_permission_is_not_mended_by_a_look_without_an_answer() {
    let mut inventory = healthy();
    for name in [A, B] {
        member(&mut inventory, name).policy = denied("s3:GetBucketPolicy");
    }
    let (found, _) = twice(&inventory);
    let of = |report: &Report| {
        let mut findings = report.findings.iter();
        findings
            .find(|one| one.check == Check::Permission)
            .cloned()
            .unwrap()
    };
    let at = |hours| now() + SignedDuration::from_hours(hours);
    // One is refused again, of the other nobody knows; then of none; then both are refused.
    let mut partly = inventory.clone();
    member(&mut partly, B).policy = failed();
    let mut nothing = partly.clone();
    member(&mut nothing, A).policy = failed();
    let mut before = found.clone();
    for (hour, look, unconfirmed) in [
        (1, &partly, false),
        (2, &nothing, true),
        (3, &inventory, false),
    ] {
        let (after, changes) = assess(look, &settings(), Some(&before), at(hour));
        let of_permission =
            |list: &[Finding]| list.iter().any(|one| one.check == Check::Permission);
        for list in [&changes.new, &changes.worse, &changes.fixed] {
            assert!(!of_permission(list), "hour {hour}: {list:?}");
        }
        let stays = of(&after);
        assert_eq!(
            (stays.unconfirmed, stays.since),
            (unconfirmed, of(&found).since)
        );
        assert_eq!(stays.parts, of(&found).parts, "hour {hour}");
        before = after;
    }
    let (after, changes) = assess(&healthy(), &settings(), Some(&before), at(4));
    assert!(after.findings.is_empty());
    assert_eq!(changes.fixed[0].check, Check::Permission);
}

/// Of a bucket that is elsewhere or another's everything else is refused; that is no news.
#[test]
fn where_a_bucket_lies_speaks_for_it() {
    for (place, expected) in [
        (in_region("eu-north-1"), "bucket-exists/app-euw1"),
        (
            Looked::Found(Place::AnotherAccount),
            "bucket-exists/app-euw1",
        ),
        (denied("s3:ListBucket"), "permission/s3:ListBucket"),
    ] {
        let mut inventory = healthy();
        let look = member(&mut inventory, B);
        look.place = place.clone();
        look.policy = failed();
        look.versioning = denied("s3:GetBucketVersioning");
        assert_eq!(ids(&twice(&inventory).0), [expected]);
        let mut inventory = healthy();
        inventory.work[1].place = place;
        inventory.work[1].encryption = failed();
        let (report, _) = twice(&inventory);
        assert_eq!(report.findings.len(), 1, "{:?}", ids(&report));
    }
}

/// One thing more that is broken in the same way is news.
#[test]
fn what_grows_is_worse() {
    type Break = fn(&mut Inventory);
    let steps: &[(&str, Break, Break)] = &[
        (
            "permission/s3:GetBucketPolicy",
            |i| member(i, B).policy = denied("s3:GetBucketPolicy"),
            |i| member(i, C).policy = denied("s3:GetBucketPolicy"),
        ),
        (
            "rule-form/app-euw1 to app-use1",
            |i| of(i, B, A).deprecated_form = true,
            |i| of(i, B, A).account = Some("444455556666".to_owned()),
        ),
        (
            "members-match/mfzwi23gnjvgw.mrap",
            |i| {
                i.endpoints
                    .iter_mut()
                    .for_each(|(_, routes)| drop_last(routes));
            },
            |i| {
                i.endpoints
                    .iter_mut()
                    .for_each(|(_, routes)| drop_last(routes));
            },
        ),
    ];
    for (id, first, second) in steps {
        let mut inventory = healthy();
        first(&mut inventory);
        let (before, changes) = twice(&inventory);
        assert_eq!(changes.worse.len(), 0, "{id}");
        second(&mut inventory);
        // What is refused has to be refused twice.
        let (unread, _) = assess(&inventory, &settings(), Some(&before), now());
        let before = if id.starts_with("permission") {
            &unread
        } else {
            &before
        };
        let (_, changes) = assess(&inventory, &settings(), Some(before), now());
        let worse: Vec<&str> = changes.worse.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(worse, [*id]);
    }
}

/// One difference more is, one less is not.
#[test]
fn lifecycle_rules_that_become_more_alike_are_not_worse() {
    let differing = |prefixes: &[&str]| {
        let mut inventory = healthy();
        if let Looked::Found(actions) = &mut member(&mut inventory, B).lifecycle {
            actions.extend(prefixes.iter().map(|prefix| LifecycleAction {
                scope: Scope::of_prefix(prefix),
                does: "deletes after 9 days".to_owned(),
                removes_noncurrent: false,
            }));
        }
        inventory
    };
    let [two, one] = [&["old/", "older/"][..], &["older/"]].map(differing);
    for (first, second, worse) in [(&two, &one, false), (&one, &two, true)] {
        let (before, _) = assess(first, &settings(), None, ago(1));
        let (after, changes) = assess(second, &settings(), Some(&before), now());
        assert_eq!(ids(&after), ["lifecycle/app-euw1"]);
        assert_eq!(!changes.worse.is_empty(), worse);
    }
}

fn drop_last(routes: &mut Looked<Vec<RouteSeen>>) {
    if let Looked::Found(routes) = routes {
        routes.pop();
    }
}

type Unreadable = fn(&mut Inventory);

/// What could never be looked at is no proof of anything, and stands in nobody's report as sound.
#[test]
fn what_was_never_readable_is_unknown() {
    let cases: &[(&str, Unreadable, &str)] = &[
        (
            "versioning",
            |i| member(i, B).versioning = denied("s3:GetBucketVersioning"),
            "eu-west-1: versioning/app-euw1",
        ),
        (
            "the bucket",
            |i| member(i, B).place = denied("s3:ListBucket"),
            "ap-northeast-1 from eu-west-1: kms-replication/app-euw1 to app-apne1",
        ),
        (
            "rules",
            |i| member(i, A).replication = failed(),
            "eu-west-1 from us-east-1: rule/app-use1 to app-euw1",
        ),
        (
            "encryption",
            |i| member(i, A).encryption = failed(),
            "eu-west-1 from us-east-1: kms-replication/app-use1 to app-euw1",
        ),
        (
            "Object Lock",
            |i| member(i, B).object_lock = failed(),
            "eu-west-1 from us-east-1: object-lock/app-use1 to app-euw1",
        ),
    ];
    for (what, disturb, expected) in cases {
        let mut inventory = healthy();
        disturb(&mut inventory);
        let said = |report: &Report, at: Timestamp| {
            let Drift::Known {
                unknown, findings, ..
            } = report.drift(at)
            else {
                panic!("{what}: recent enough");
            };
            assert!(findings.is_empty(), "{what}");
            let said = unknown.into_iter().flat_map(|(region, list)| {
                list.into_iter().map(move |one| match one.leaving {
                    None => format!("{region}: {}", one.what),
                    Some(from) => format!("{region} from {from}: {}", one.what),
                })
            });
            said.collect::<Vec<String>>()
        };
        let never = fresh(&inventory);
        assert!(
            said(&never, now()).contains(&(*expected).to_owned()),
            "{what}: {:?}",
            said(&never, now())
        );
        let answer = ReadinessAnswer::of(ReadinessCommand::Tick, &never, &Changes::default());
        assert_eq!(answer.outcome, ReadinessOutcome::Unknown, "{what}");
        assert!(
            !answer.explanation.contains("Ready"),
            "{}",
            answer.explanation
        );
        // Looking again does not make it known.
        let (again, _) = assess(&inventory, &settings(), Some(&never), now());
        assert_eq!(said(&again, now()), said(&never, now()), "{what}");
        // What was sound at a look that counts yet stays so, and no longer.
        let sound = healthy();
        let (before, _) = assess(&sound, &settings(), None, ago(2));
        let (after, _) = assess(&inventory, &settings(), Some(&before), ago(1));
        assert_eq!(said(&after, ago(1)), <[String; 0]>::default(), "{what}");
        let (after, _) = assess(&inventory, &settings(), Some(&after), now());
        assert_eq!(said(&after, now()), <[String; 0]>::default(), "{what}");
        let later = now() + SignedDuration::from_hours(2);
        assert_eq!(said(&after, later), said(&never, now()), "{what}");
        let restored = Report::parse(serde_json::to_value(&after).unwrap(), &settings().mrap);
        assert_eq!(restored.unwrap(), after, "{what}");
    }
    // Who is unfit anyway needs no doubt.
    let mut inventory = healthy();
    member(&mut inventory, B).versioning = Looked::Found(Versioning::Suspended);
    member(&mut inventory, B).object_lock = failed();
    let Drift::Known { unknown, .. } = fresh(&inventory).drift(now()) else {
        panic!("recent");
    };
    assert!(!unknown.contains_key(&region("eu-west-1")), "{unknown:?}");
}

/// The report before did not find sound what it was not about.
#[test]
fn a_new_member_was_never_sound() {
    let mut two = settings();
    two.members = "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap();
    let mut inventory = healthy();
    inventory.members.pop();
    let (before, _) = assess(&inventory, &two, None, ago(1));
    let mut inventory = healthy();
    member(&mut inventory, B).versioning = failed();
    member(&mut inventory, C).versioning = failed();
    member(&mut inventory, C).object_lock = failed();
    let sound_at = |before: &Report| {
        let (after, _) = assess(&inventory, &settings(), Some(before), now());
        let unchecked = after.unchecked.into_iter();
        unchecked
            .map(|one| (one.id, one.sound_at))
            .collect::<BTreeMap<_, _>>()
    };
    let expected = [
        ("object-lock/app-apne1 to app-euw1", None),
        ("object-lock/app-apne1 to app-use1", None),
        ("object-lock/app-euw1 to app-apne1", None),
        ("object-lock/app-use1 to app-apne1", None),
        ("versioning/app-apne1", None),
        ("versioning/app-euw1", Some(ago(1))),
    ]
    .map(|(id, at)| (id.to_owned(), at));
    assert_eq!(sound_at(&before), expected.into());
    // A report of before the members were put down was about the same ones.
    let mut document = serde_json::to_value(&before).unwrap();
    document.as_object_mut().unwrap().remove("members");
    let before = Report::parse(document, &two.mrap).unwrap();
    assert!(sound_at(&before).values().all(|at| *at == Some(ago(1))));
}

/// Without anybody who looks, nobody knows whether canaries arrive. That is no news, and no guard's
/// business: the failover looks at later evidence.
#[test]
fn a_look_without_evidence_is_not_ready() {
    let old: Break = |i| {
        evidence(i, |e| e.observed_at = ago(30));
    };
    let none: Break = |i| {
        i.evidence = Looked::Absent;
        i.witness = Looked::Absent;
    };
    let (ready, _) = assess(&healthy(), &settings(), None, ago(4));
    let (recent, _) = assess(&healthy(), &settings(), None, ago(1));
    for (index, disturb) in [old, none].into_iter().enumerate() {
        let mut inventory = healthy();
        disturb(&mut inventory);
        for (before, outcome, part) in [
            (None, ReadinessOutcome::Unknown, "6 critical checks"),
            (Some(&ready), ReadinessOutcome::Unknown, "6 critical checks"),
            (Some(&recent), ReadinessOutcome::Ready, "that could be made"),
        ] {
            let (report, changes) = assess(&inventory, &settings(), before, now());
            assert_eq!(ids(&report), <[&str; 0]>::default(), "{index}");
            assert!(changes.is_empty(), "{index}");
            let answer = ReadinessAnswer::of(ReadinessCommand::Tick, &report, &changes);
            assert_eq!(answer.outcome, outcome, "{index}");
            let said = &answer.explanation;
            assert!(said.contains(part) && !said.contains("Ready"), "{said}");
            assert!(text(&report).contains("canary-arrives/app-use1 to app-euw1: "));
            let Drift::Known { unknown, .. } = report.drift(now()) else {
                panic!("recent");
            };
            assert!(unknown.is_empty(), "{index}: {unknown:?}");
        }
    }
}

/// Whatever becomes of its subject: a finding is over when somebody looked, and not before.
#[test]
fn no_finding_vanishes_untold() {
    let cases: &[(&str, Break, Break)] = &[
        (
            "rule-metrics/app-use1 to app-euw1",
            |i| of(i, A, B).metrics = false,
            |i| of(i, A, B).enabled = false,
        ),
        (
            "delete-markers/app-use1 and app-euw1",
            |i| of(i, A, B).delete_markers = false,
            |i| of(i, A, B).enabled = false,
        ),
        (
            "canary-arrives/app-use1 to app-euw1",
            |i| evidence(i, |e| e.members[1].seen.clear()),
            |i| {
                i.evidence = Looked::Absent;
                i.witness = Looked::Absent;
            },
        ),
        (
            "canary-arrives/app-use1 to app-euw1",
            |i| evidence(i, |e| e.members[1].seen.clear()),
            |i| of(i, A, B).scope = Scope::of_prefix("data/"),
        ),
        (
            "vantage-point/mfzwi23gnjvgw.mrap",
            |i| i.witness = Looked::Absent,
            |i| {
                i.evidence = Looked::Absent;
                i.witness = Looked::Absent;
            },
        ),
        (
            "self-test/mrap-sentinel-mfzwi23gnjvgw-self-test",
            |i| records(i).self_test = Some(ago(28)),
            |i| {
                i.alarms.insert(SELF_TEST.to_owned(), Looked::Absent);
            },
        ),
        (
            "lifecycle/app-euw1",
            |i| {
                if let Looked::Found(actions) = &mut member(i, B).lifecycle {
                    actions.pop();
                }
            },
            |i| member(i, A).place = Looked::Absent,
        ),
        (
            "dead-letters/sentinel-dead-letters",
            |i| {
                i.dead_letters.insert(LETTERS.to_owned(), Looked::Found(3));
            },
            |i| {
                i.dead_letters.insert(LETTERS.to_owned(), Looked::Absent);
            },
        ),
    ];
    for (id, first, second) in cases {
        let mut inventory = healthy();
        first(&mut inventory);
        let (before, _) = assess(&inventory, &settings(), None, ago(1));
        assert!(ids(&before).contains(id), "{id}: {:?}", ids(&before));
        second(&mut inventory);
        let (after, changes) = assess(&inventory, &settings(), Some(&before), now());
        let stays = after.findings.iter().find(|one| one.id == *id).unwrap();
        assert!(stays.unconfirmed && stays.since == ago(1), "{id}");
        assert!(!changes.fixed.iter().any(|one| one.id == *id), "{id}");
    }
}

/// One wrong clock must not stop the looks for good.
#[test]
fn a_report_of_the_future_counts_for_nothing() {
    let ahead = |seconds| now() + SignedDuration::from_secs(seconds);
    let (report, _) = assess(&healthy(), &settings(), None, ahead(60));
    assert!(!report.is_of_the_future(now()));
    assert!(matches!(report.drift(now()), Drift::Known { .. }));
    let mut inventory = healthy();
    of(&mut inventory, A, B).enabled = false;
    let (report, _) = assess(&inventory, &settings(), None, ahead(86_400));
    assert!(report.is_of_the_future(now()));
    assert_eq!(report.drift(now()), Drift::Unknown);
    let (after, _) = assess(&inventory, &settings(), Some(&report), now());
    assert_eq!((after.digest_at, after.findings[0].since), (now(), now()));
}

#[test]
fn late_canaries_of_a_member_in_trouble_are_no_finding() {
    type Trouble = fn(&mut Evidence);
    let troubles: [Trouble; 5] = [
        |evidence| evidence.members[0].verdict = Verdict::Bad,
        |evidence| evidence.members[0].since = now() - SignedDuration::from_mins(29),
        |evidence| evidence.members[1].since = now() - SignedDuration::from_mins(29),
        |evidence| evidence.observed_at = now() - SignedDuration::from_mins(11),
        |evidence| {
            evidence.observer = Observer::Sick {
                reason: String::new(),
            };
        },
    ];
    for (index, trouble) in troubles.iter().enumerate() {
        let mut inventory = without_witness();
        evidence(&mut inventory, |evidence| {
            evidence.members[1].seen.clear();
            trouble(evidence);
        });
        let report = fresh(&inventory);
        assert!(
            !ids(&report).contains(&"canary-arrives/app-use1 to app-euw1"),
            "{index}"
        );
    }
}

#[test]
fn only_what_is_critical_and_recent_stands_in_a_failovers_way() {
    let mut inventory = healthy();
    of(&mut inventory, A, B).enabled = false;
    of(&mut inventory, A, C).metrics = false;
    let report = fresh(&inventory);
    let Drift::Known {
        observed_at,
        findings,
        ..
    } = report.drift(now() + REPORT_MAX_AGE)
    else {
        panic!("recent enough");
    };
    assert_eq!(observed_at, now());
    assert_eq!(
        findings.keys().cloned().collect::<Vec<_>>(),
        [region("eu-west-1")]
    );
    let unfit = &findings[&region("eu-west-1")][0];
    assert_eq!(unfit.leaving, Some(region("us-east-1")));
    assert!(unfit.what.starts_with("rule: "), "{}", unfit.what);
    let too_late = now() + REPORT_MAX_AGE + SignedDuration::from_secs(1);
    assert_eq!(report.drift(too_late), Drift::Unknown);
}

#[test]
fn a_stored_report_is_read_back_and_a_foreign_one_refused() {
    let mut inventory = healthy();
    of(&mut inventory, A, B).enabled = false;
    let (mut report, changes) = assess(&inventory, &settings(), None, now());
    report.outbox = tell(&mut report, &changes);
    let mrap = settings().mrap;
    let document = serde_json::to_value(&report).unwrap();
    assert_eq!(Report::parse(document.clone(), &mrap).unwrap(), report);
    let other = "arn:aws:s3::111122223333:accesspoint/other.mrap"
        .parse()
        .unwrap();
    assert!(matches!(
        Report::parse(document.clone(), &other),
        Err(ReportError::Foreign(_))
    ));
    let mut later = document.clone();
    later["schema"] = json!(2);
    assert_eq!(Report::parse(later, &mrap), Err(ReportError::Schema(2)));
    let mut torn = document;
    torn.as_object_mut().unwrap().remove("findings");
    assert!(matches!(
        Report::parse(torn, &mrap),
        Err(ReportError::Torn(_))
    ));
}

/// After a roll back the failover function may read what a later readiness check wrote.
#[test]
fn a_finding_of_a_later_version_counts() {
    let mut inventory = healthy();
    of(&mut inventory, A, B).enabled = false;
    let (mut report, changes) = assess(&inventory, &settings(), None, ago(1));
    report.outbox = tell(&mut report, &changes);
    let mut document = serde_json::to_value(&report).unwrap();
    document["findings"][0]["check"] = json!("not-known-yet");
    document["findings"][0]["id"] = json!("not-known-yet/app-use1 to app-euw1");
    let read = Report::parse(document, &settings().mrap).unwrap();
    assert_eq!(read.findings[0].check, Check::Later);
    assert_eq!(read.outbox, report.outbox);
    let Drift::Known { findings, .. } = read.drift(now()) else {
        panic!("recent enough");
    };
    let unfit = &findings[&region("eu-west-1")][0];
    assert!(unfit.what.starts_with("not-known-yet: "), "{}", unfit.what);
    assert_eq!(unfit.leaving, Some(region("us-east-1")));
    // Nobody here can look at it; that is not to say that it was mended.
    let (after, changes) = assess(&healthy(), &settings(), Some(&read), now());
    assert!(after.findings.is_empty() && changes.is_empty());
}

fn looks(inventories: &[(Timestamp, Inventory)]) -> Vec<Vec<Announcement>> {
    let mut previous: Option<Report> = None;
    inventories
        .iter()
        .map(|(at, inventory)| {
            let mut inventory = inventory.clone();
            records(&mut inventory).self_test = Some(*at);
            let (mut report, changes) = assess(&inventory, &settings(), previous.as_ref(), *at);
            let told = tell(&mut report, &changes);
            previous = Some(report);
            told
        })
        .collect()
}

#[test]
fn people_hear_of_changes_and_once_a_week_of_everything() {
    let broken = || {
        let mut inventory = healthy();
        of(&mut inventory, A, B).enabled = false;
        inventory
    };
    let told = looks(&[
        (ago(10), healthy()),
        (ago(9), broken()),
        (ago(8), broken()),
        (ago(7), healthy()),
        (ago(6), healthy()),
        (ago(10) + DIGEST, healthy()),
        (ago(9) + DIGEST, healthy()),
    ]);
    let told: Vec<Vec<(Event, Severity, &str)>> = told
        .iter()
        .map(|announcements| {
            announcements
                .iter()
                .map(|one| (one.event, one.severity, one.region.as_str()))
                .collect()
        })
        .collect();
    assert_eq!(
        told,
        [
            vec![],
            vec![(Event::ReadinessChanged, Critical, "eu-west-1")],
            vec![],
            vec![(Event::ReadinessChanged, Info, "")],
            vec![],
            vec![(Event::ReadinessDigest, Info, "")],
            vec![],
        ]
    );
}

#[test]
fn what_gets_worse_is_told_again() {
    let mut inventory = healthy();
    let second = "arn:aws:sns:us-west-2:111122223333:second".parse().unwrap();
    inventory.topics.push((
        second,
        Looked::Found(vec![confirmed("email", "x@example.com")]),
    ));
    inventory.topics[0].1 = Looked::Found(vec![]);
    let (before, _) = assess(&inventory, &settings(), None, ago(1));
    inventory.topics[1].1 = Looked::Found(vec![]);
    let (_, changes) = assess(&inventory, &settings(), Some(&before), now());
    assert_eq!(changes.worse.len(), 1);
    assert_eq!(changes.new.len(), 1);
}

#[test]
fn as_a_person_reads_it() {
    let mut inventory = healthy();
    of(&mut inventory, A, B).enabled = false;
    of(&mut inventory, A, C).metrics = false;
    member(&mut inventory, B).policy = denied("s3:GetBucketPolicy");
    member(&mut inventory, C).lifecycle = failed();
    inventory.witness = Looked::Absent;
    let mut settings = settings();
    settings.witness = None;
    let (first, _) = assess(&inventory, &settings, None, now());
    let unread = Report {
        findings: Vec::new(),
        ..first
    };
    let (mut report, changes) = assess(&inventory, &settings, Some(&unread), now());
    insta::assert_snapshot!("report", text(&report));
    let told = tell(&mut report, &changes);
    insta::assert_snapshot!(
        "announcement",
        format!("{}\n\n{}", told[0].subject, told[0].text)
    );
    report.digest_at = ago(7 * 24);
    let told = tell(&mut report, &Changes::default());
    insta::assert_snapshot!("digest", format!("{}\n\n{}", told[0].subject, told[0].text));
    let answer = ReadinessAnswer::of(ReadinessCommand::Readiness, &report, &changes);
    assert_eq!(answer.outcome, ReadinessOutcome::Findings);
    assert_eq!(answer.report, text(&report));
    insta::assert_snapshot!("clean", text(&fresh(&healthy())));
    // What is unfit for all is not told again for some.
    let mut inventory = healthy();
    member(&mut inventory, B).versioning = Looked::Found(Versioning::Suspended);
    of(&mut inventory, A, B).enabled = false;
    let printed = text(&fresh(&inventory));
    assert!(
        printed.contains("A failover to eu-west-1 would lose"),
        "{printed}"
    );
    // Of a moment people want no more than the second.
    let later = now() + SignedDuration::from_millis(748);
    let (report, _) = assess(&without_witness(), &settings, None, later);
    let printed = text(&report);
    assert!(printed.contains("since 2026-11-20T16:00:00Z"), "{printed}");
    assert!(!printed.contains(".748"), "{printed}");
}

#[test]
fn commands_are_read_strictly() {
    for (payload, expected) in [
        (json!({"command": "tick"}), Ok(ReadinessCommand::Tick)),
        (
            json!({"command": "readiness"}),
            Ok(ReadinessCommand::Readiness),
        ),
        (
            json!({"command": "readiness", "dryRun": true}),
            Err("no field"),
        ),
        (json!({"command": "failback"}), Err("failover function")),
        (json!({"command": "sweep"}), Err("redrive function")),
        (json!({"command": "report"}), Err("no command")),
        (json!({"command": 1}), Err("must be text")),
        (json!({}), Err("without a command")),
        (json!([1]), Err("this function takes")),
    ] {
        match (ReadinessCommand::parse(&payload), expected) {
            (Ok(command), Ok(wanted)) => assert_eq!(command, wanted),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (other, wanted) => panic!("{payload}: {other:?}, not {wanted:?}"),
        }
    }
}

#[test]
fn records_are_read_from_the_failovers_document() {
    let document = json!({
        "changes": [
            {"at": "2026-11-01T00:00:00Z", "by": "automatic"},
            {"at": "2026-11-02T00:00:00Z", "by": "operator"},
            {"at": "2026-11-03T00:00:00Z", "by": "outside"},
            {"at": "2026-11-04T00:00:00Z", "by": "late-landing"},
        ],
        "rehearsed": {"endedAt": "2026-10-31T00:00:00Z", "complete": true},
        "hold": {"reason": "night work", "since": "2026-11-19T00:00:00Z", "until": "2026-11-21T00:00:00Z"},
        "selfTest": {"receivedAt": "2026-11-20T01:00:00Z"},
    });
    let records = Records::of(&document, now());
    assert_eq!(
        records.last_change,
        Some("2026-11-02T00:00:00Z".parse().unwrap())
    );
    assert_eq!(
        records.self_test,
        Some("2026-11-20T01:00:00Z".parse().unwrap())
    );
    assert_eq!(records.hold.unwrap().1, "night work");
    let over = now() + SignedDuration::from_hours(48);
    assert_eq!(Records::of(&document, over).hold, None);
    assert_eq!(Records::of(&json!({}), now()), Records::default());
    assert_eq!(
        records.rehearsed,
        Some("2026-10-31T00:00:00Z".parse().unwrap())
    );
    let cut_short = json!({"rehearsed": {"endedAt": "2026-10-31T00:00:00Z", "complete": false}});
    assert_eq!(Records::of(&cut_short, now()).rehearsed, None);
    let redrive = include_str!("fixtures/redrive/schema-1.json");
    let jobs = JobRecords::of(&serde_json::from_str(redrive).unwrap());
    assert_eq!(
        (jobs.failures, jobs.last_failure.as_str()),
        (3, "S3 refused to create it: access denied")
    );
    assert_eq!(JobRecords::of(&json!({})), JobRecords::default());
}

#[test]
fn the_page_describes_exactly_the_table() {
    let page = include_str!("../../../docs/readiness.md");
    let rows: Vec<(String, String)> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells.as_slice() {
                [
                    name,
                    severity @ ("critical" | "warning" | "info"),
                    expects,
                    ..,
                ] => Some((
                    format!("{} {severity}", name.trim_matches('`')),
                    (*expects).to_owned(),
                )),
                _ => None,
            }
        })
        .collect();
    let table: Vec<(String, String)> = TABLE
        .iter()
        .map(|row| {
            (
                format!("{} {}", row.name, row.worst.as_str()),
                row.expects.to_owned(),
            )
        })
        .collect();
    assert_eq!(rows, table);
}

proptest! {
    /// However things are broken and in whatever order they were read: the same findings, in the
    /// same order, once each, the worst first.
    #[test]
    fn findings_are_stable_and_sorted(
        breaks in prop::collection::vec(0..BREAKS.len(), 0..6),
        turns in 0..3_usize,
    ) {
        let mut inventory = healthy();
        for index in &breaks {
            // Some breaks take away what others would break.
            let before = inventory.clone();
            let broken = std::panic::catch_unwind(move || {
                let mut inventory = before;
                BREAKS[*index].0(&mut inventory);
                inventory
            });
            if let Ok(broken) = broken {
                inventory = broken;
            }
        }
        let report = fresh(&inventory);
        for look in &mut inventory.members {
            if let Looked::Found(rules) = &mut look.replication {
                let turns = turns.min(rules.len());
                rules.rotate_left(turns);
            }
            if let Looked::Found(targets) = &mut look.events {
                targets.reverse();
            }
            if let Looked::Found(actions) = &mut look.lifecycle {
                actions.reverse();
            }
        }
        inventory.endpoints.rotate_left(turns);
        let (again, changes) = assess(&inventory, &settings(), Some(&report), now());
        prop_assert!(changes.is_empty(), "{changes:?}");
        prop_assert_eq!(ids(&again), ids(&report));
        let unique: BTreeSet<&str> = ids(&report).into_iter().collect();
        prop_assert_eq!(unique.len(), report.findings.len());
        prop_assert!(report.findings.is_sorted_by(|a, b| a.severity >= b.severity));
    }
}
