//! What people change at the console is found over the wire, and found to be mended.

use simulator::cloudwatch::MetricName;
use simulator::{Encryption, LifecycleRule, ReplicationRule, Versioning, World};

use crate::stage::{
    ALARMS, AWAY, BARKS, CONTROL, FAILOVER, HOME, LETTERS, NOTHING, Stage, TOPIC, ids,
    on_virtual_time, watchdog,
};

/// A change, what it is found as beyond what is always found, and what undoes it.
type Drift = (fn(&mut World), &'static [&'static str], fn(&mut World));

fn edit(world: &mut World, source: &str, change: impl FnOnce(&mut ReplicationRule)) {
    let mut rule = world.replication_rules(source).remove(0);
    change(&mut rule);
    world.set_replication_rule(rule);
}

fn letters() -> MetricName {
    MetricName::new("AWS/SQS", "ApproximateNumberOfMessagesVisible").dimension("QueueName", LETTERS)
}

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/k";

#[rustfmt::skip]
const DRIFTS: &[Drift] = &[
    (|w| w.set_versioning(AWAY, Versioning::Suspended), &["versioning/app-euw1"], |w| w.set_versioning(AWAY, Versioning::Enabled)),
    (|w| edit(w, HOME, |rule| rule.enabled = false), &["rule/app-use1 to app-euw1"], |w| edit(w, HOME, |rule| rule.enabled = true)),
    (|w| w.remove_replication_rule(HOME, "to-app-euw1"), &["rule/app-use1 to app-euw1"], |w| w.set_replication_rule(ReplicationRule::new("to-app-euw1", HOME, AWAY))),
    (|w| edit(w, HOME, |rule| rule.metrics = false), &["rule-metrics/app-use1 to app-euw1"], |w| edit(w, HOME, |rule| rule.metrics = true)),
    (|w| edit(w, HOME, |rule| rule.delete_markers = true), &["delete-markers/app-use1 and app-euw1"], |w| edit(w, HOME, |rule| rule.delete_markers = false)),
    (|w| edit(w, HOME, |rule| rule.replica_modifications = false), &["replica-modifications/app-use1 and app-euw1"], |w| edit(w, HOME, |rule| rule.replica_modifications = true)),
    (|w| edit(w, HOME, |rule| "data/".clone_into(&mut rule.prefix)), &["rule-scope/app-use1 and app-euw1", "canary-scope/app-use1 to app-euw1"], |w| edit(w, HOME, |rule| rule.prefix.clear())),
    (|w| edit(w, HOME, |rule| rule.replica_kms_key = Some(KEY.to_owned())), &["kms-replica-key/app-use1 to app-euw1"], |w| edit(w, HOME, |rule| rule.replica_kms_key = None)),
    (|w| w.set_encryption(HOME, Encryption::SseKms { key: KEY.to_owned() }), &["kms-replication/app-use1 to app-euw1"], |w| w.set_encryption(HOME, Encryption::SseS3)),
    (|w| w.set_encryption("work-use1", Encryption::SseKms { key: KEY.to_owned() }), &["work-bucket-encryption/work-use1"], |w| w.set_encryption("work-use1", Encryption::SseS3)),
    (|w| w.bucket_settings(HOME).object_lock = true, &["object-lock/app-use1 to app-euw1"], |w| w.bucket_settings(HOME).object_lock = false),
    (|w| w.bucket_settings(AWAY).ownership = None, &["ownership/app-euw1"], |w| w.bucket_settings(AWAY).ownership = Some("BucketOwnerEnforced".to_owned())),
    (|w| w.bucket_settings(AWAY).public_access_blocked = None, &["public-access/app-euw1"], |w| w.bucket_settings(AWAY).public_access_blocked = Some(true)),
    (|w| w.bucket_settings(AWAY).public_access_blocked = Some(false), &["public-access/app-euw1"], |w| w.bucket_settings(AWAY).public_access_blocked = Some(true)),
    (|w| w.bucket_settings(AWAY).policy = None, &["delegation/app-euw1"], |w| { let policy = w.bucket_settings(HOME).policy.clone(); w.bucket_settings(AWAY).policy = policy; }),
    (|w| w.bucket_settings(AWAY).replication_events_to = None, &["replication-events/app-euw1"], |w| { let to = w.bucket_settings(HOME).replication_events_to.clone(); w.bucket_settings(AWAY).replication_events_to = to; }),
    (|w| w.bucket_settings(AWAY).replication_events_to = Some("arn:aws:sns:eu-west-1:111122223333:elsewhere".to_owned()), &["replication-events/app-euw1"], |w| { let to = w.bucket_settings(HOME).replication_events_to.clone(); w.bucket_settings(AWAY).replication_events_to = to; }),
    (|w| w.bucket_settings(AWAY).request_metrics = false, &["request-metrics/app-euw1"], |w| w.bucket_settings(AWAY).request_metrics = true),
    (|w| w.bucket_settings(AWAY).requester_pays = true, &["requester-pays/app-euw1"], |w| w.bucket_settings(AWAY).requester_pays = false),
    (|w| w.bucket_settings(AWAY).lifecycle.push(LifecycleRule { prefix: "tmp/".to_owned(), expires_after_days: Some(7), noncurrent_after_days: None }), &["lifecycle/app-euw1"], |w| { w.bucket_settings(AWAY).lifecycle.pop(); }),
    (|w| w.bucket_settings(AWAY).lifecycle.clear(), &["canary-hygiene/app-euw1"], |w| { let rules = w.bucket_settings(HOME).lifecycle.clone(); w.bucket_settings(AWAY).lifecycle = rules; }),
    (|w| w.set_subscriptions(TOPIC, &[("email", "sre@example.com", false)]), &["topic-subscribed/arn:aws:sns:us-east-2:111122223333:pages"], |w| w.set_subscriptions(TOPIC, &[("email", "sre@example.com", true)])),
    (|w| w.set_subscriptions(ALARMS, &[("email", "sre@example.com", true)]), &["alarm-topic/arn:aws:sns:us-east-2:111122223333:alarms"], |w| w.set_subscriptions(ALARMS, &[("lambda", FAILOVER, true)])),
    (|w| w.put_alarm(watchdog()), &["watchdog/mfzwi23gnjvgw.mrap"], |w| w.put_alarm(watchdog().action(BARKS))),
    (|w| w.set_routes_as_person("mfzwi23gnjvgw.mrap", &[(HOME, 0), (AWAY, 100)]), &["topology/mfzwi23gnjvgw.mrap"], |w| w.set_routes_as_person("mfzwi23gnjvgw.mrap", &[(HOME, 100), (AWAY, 0)])),
];

#[test]
fn drift_is_found_and_found_mended() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        assert_eq!(stage.found().await, NOTHING);
        for (number, (drift, expected, mend)) in DRIFTS.iter().enumerate() {
            stage.rest(std::time::Duration::from_mins(5)).await;
            stage.change(drift);
            let found: Vec<String> = stage.found().await;
            let new: Vec<&str> = found
                .iter()
                .map(String::as_str)
                .filter(|id| !NOTHING.contains(id))
                .collect();
            assert_eq!(new, *expected, "drift {number}");
            stage.change(mend);
            assert_eq!(stage.found().await, NOTHING, "drift {number} is mended");
        }
    });
}

#[test]
fn a_bucket_that_is_gone_hides_nothing_else() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        stage.change(|world| world.delete_bucket_as_person(AWAY));
        let found = stage.found().await;
        assert!(
            found.contains(&"bucket-exists/app-euw1".to_owned()),
            "{found:?}"
        );
        stage.change(|world| world.delete_bucket_as_person("work-use1"));
        let found = stage.found().await;
        assert!(
            found.contains(&"work-bucket/work-use1".to_owned()),
            "{found:?}"
        );
    });
}

/// Somebody else may have made a bucket of that name since ours was deleted.
#[test]
fn another_account_s_bucket_is_no_member() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        assert_eq!(stage.found().await, NOTHING);
        stage.change(|world| {
            for bucket in [AWAY, "work-euw1"] {
                world.bucket_settings(bucket).foreign_owner = Some("444455556666".to_owned());
            }
        });
        let answer = stage.readiness().await;
        let expected = [
            "bucket-exists/app-euw1",
            "work-bucket/work-euw1",
            NOTHING[0],
        ];
        assert_eq!(ids(&answer), expected);
        let unfit = &answer["findings"][0]["targets"];
        assert_eq!(unfit, &serde_json::json!(["eu-west-1"]));
    });
}

#[test]
fn dead_letters_are_found() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        stage.change(|world| world.put_metric(CONTROL, &letters(), 2.0));
        stage.rest(std::time::Duration::from_mins(2)).await;
        let found = stage.found().await;
        assert!(
            found.contains(&format!("dead-letters/{LETTERS}")),
            "{found:?}"
        );
        stage.rest(std::time::Duration::from_mins(20)).await;
        let answer = stage.readiness().await;
        let mut findings = answer["findings"].as_array().unwrap().iter();
        let waiting = findings.find(|one| one["check"] == "dead-letters").unwrap();
        assert_eq!(
            waiting["unconfirmed"], true,
            "an idle queue publishes nothing"
        );
        stage.change(|world| world.put_metric(CONTROL, &letters(), 0.0));
        stage.rest(std::time::Duration::from_mins(2)).await;
        assert_eq!(stage.found().await, NOTHING);
    });
}
