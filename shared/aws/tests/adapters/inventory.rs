//! Reading configuration: what is absent, refused or unanswered, and how long it may take.

use std::sync::atomic::{AtomicUsize, Ordering};

use sentinel_aws::inventory::InventoryReader;
use sentinel_core::readiness::inventory::{BucketLook, Inventory, Looked, Place, Versioning};
use sentinel_core::settings::ReadinessSettings;

use crate::wire::{Reply, Request, World, after, answer, answer_with, error};

const QUEUE: &str = "arn:aws:sqs:eu-central-1:111122223333:events";
const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:pages";
const ALARMS: &str = "arn:aws:sns:eu-central-1:111122223333:alarms";
const EVENTS: &str = "arn:aws:sns:us-east-1:111122223333:events";

fn settings() -> ReadinessSettings {
    ReadinessSettings::from_lookup(|name| {
        let value = match name {
            "MRAP_ARN" => "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
            "MEMBERS" => "app-use1@us-east-1,app-euw1@eu-west-1",
            "STATE_BUCKET" => "sentinel-state",
            "TOPIC_ARNS" => TOPIC,
            "WORK_BUCKETS" => "work-use1@us-east-1,work-euw1@eu-west-1",
            "REPLICATION_EVENTS_QUEUE_ARN" => QUEUE,
            "STACK_ALARMS" => "silent",
            "DEAD_LETTER_QUEUES" => "letters",
            "ALARM_TOPIC_ARN" => ALARMS,
            "WITNESS_REGION" => "us-west-2",
            _ => return None,
        };
        Some(value.to_owned())
    })
    .unwrap()
}

/// What is asked of which bucket: `app-use1 versioning`, `app-use1 HEAD`; else the method and path.
fn asked(request: &Request) -> String {
    let bucket = request.authority().split('.').next().unwrap_or_default();
    let (path, query) = request
        .path()
        .split_once('?')
        .unwrap_or((request.path(), ""));
    if request.authority().contains(".s3.") && path == "/" {
        let query: Vec<&str> = query
            .split('&')
            .filter(|part| !part.starts_with("x-id="))
            .map(|part| part.trim_end_matches('='))
            .collect();
        match query.first() {
            Some(first) if !first.is_empty() => format!("{bucket} {first}"),
            _ => format!("{bucket} {}", request.method),
        }
    } else {
        format!("{} {path}", request.method)
    }
}

/// Everything of `app-use1` as the test says; of everybody else nothing is there.
fn world(script: impl Fn(&str, &Request) -> Option<Reply> + Send + Sync + 'static) -> World {
    World::new(move |request| {
        let asked = asked(request);
        script(&asked, request).unwrap_or_else(|| {
            if asked.ends_with(" HEAD") {
                answer_with(200, &[("x-amz-bucket-region", "us-east-1")], "")
            } else {
                error(404, "NoSuchBucket")
            }
        })
    })
}

async fn read(world: &World, millis: i64) -> Inventory {
    let reader = InventoryReader::new(world.edge(), settings());
    reader.read(world.at(millis)).await
}

fn home(inventory: &Inventory) -> &BucketLook {
    &inventory.members[0]
}

#[tokio::test(start_paused = true)]
async fn absent_denied_and_failed_are_told_apart_by_code() {
    type Case = (&'static str, fn() -> Reply, &'static str);
    let cases: [Case; 12] = [
        ("policy", || error(404, "NoSuchBucketPolicy"), "absent"),
        (
            "policy",
            || error(403, "AccessDenied"),
            "denied s3:GetBucketPolicy",
        ),
        (
            "policy",
            || error(403, "AllAccessDisabled"),
            "denied s3:GetBucketPolicy",
        ),
        ("policy", || error(403, "RequestTimeTooSkewed"), "failed"),
        ("policy", || error(403, "InvalidAccessKeyId"), "failed"),
        ("policy", || error(403, "ExpiredToken"), "failed"),
        ("policy", || error(500, "InternalError"), "failed"),
        ("policy", || error(503, "SlowDown"), "failed"),
        ("policy", || error(404, "SomethingElse"), "failed"),
        ("policy", || Reply::Refuse, "failed"),
        ("policy", || Reply::Hang, "failed"),
        ("policy", || answer(200, "not JSON"), "failed"),
    ];
    for (number, (what, reply, expected)) in cases.into_iter().enumerate() {
        let world = world(move |asked, _| (asked == format!("app-use1 {what}")).then(reply));
        let inventory = read(&world, 40_000).await;
        let told = match &home(&inventory).policy {
            Looked::Found(_) => "found".to_owned(),
            Looked::Absent => "absent".to_owned(),
            Looked::Denied { action } => format!("denied {action}"),
            Looked::Failed { detail } => {
                assert!(!detail.is_empty());
                "failed".to_owned()
            }
        };
        assert_eq!(told, expected, "case {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_bucket_lies_is_told_by_its_head() {
    type Case = (fn() -> Reply, fn(&Looked<Place>) -> bool);
    fn is_in(look: &Looked<Place>, region: &str) -> bool {
        *look == Looked::Found(Place::Region(region.to_owned()))
    }
    let elsewhere = |look: &Looked<Place>| is_in(look, "eu-north-1");
    let cases: [Case; 6] = [
        (
            || answer_with(301, &[("x-amz-bucket-region", "eu-north-1")], ""),
            elsewhere,
        ),
        (
            || answer_with(400, &[("x-amz-bucket-region", "eu-north-1")], ""),
            elsewhere,
        ),
        (|| answer(200, ""), |look| is_in(look, "us-east-1")),
        (|| answer(404, ""), |look| *look == Looked::Absent),
        (
            || answer(403, ""),
            |look| matches!(look, Looked::Denied { action } if action.contains("another account")),
        ),
        (
            || answer(500, ""),
            |look| matches!(look, Looked::Failed { .. }),
        ),
    ];
    for (number, (reply, expected)) in cases.into_iter().enumerate() {
        let world = world(move |asked, _| (asked == "app-use1 HEAD").then(reply));
        let inventory = read(&world, 40_000).await;
        let place = &home(&inventory).place;
        assert!(expected(place), "case {number}: {place:?}");
    }
}

/// Refused with our account as its owner, shown without: it is another account's. What is refused
/// either way may be a permission that is missing, and what is refused once a policy on its way.
#[tokio::test(start_paused = true)]
async fn another_account_s_bucket_is_told_from_a_missing_permission() {
    type Case = ([u16; 3], fn(&Looked<Place>) -> bool, usize);
    let denied = |place: &Looked<Place>| matches!(place, Looked::Denied { .. });
    let foreign = |place: &Looked<Place>| *place == Looked::Found(Place::AnotherAccount);
    let cases: [Case; 3] = [
        ([403, 200, 403], foreign, 3),
        ([403, 403, 403], denied, 2),
        ([403, 200, 200], denied, 3),
    ];
    for (number, (answers, expected, heads)) in cases.into_iter().enumerate() {
        let asked_so_far = AtomicUsize::new(0);
        let world = world(move |asked, request| {
            (asked == "app-use1 HEAD").then(|| {
                let nth = asked_so_far.fetch_add(1, Ordering::Relaxed);
                let owner = request.header("x-amz-expected-bucket-owner");
                assert_eq!(owner, (nth != 1).then_some("111122223333"));
                answer(answers[nth], "")
            })
        });
        let inventory = read(&world, 40_000).await;
        let place = &home(&inventory).place;
        assert!(expected(place), "case {number}: {place:?}");
        let requests = world.requests();
        let asked = requests
            .iter()
            .filter(|one| self::asked(one) == "app-use1 HEAD");
        assert_eq!(asked.count(), heads, "case {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_delays_nobody() {
    let world = world(|asked, _| {
        if asked.starts_with("app-euw1") || asked.starts_with("work-euw1") {
            return Some(Reply::Hang);
        }
        (asked == "app-use1 versioning").then(|| {
            after(
                300,
                answer(
                    200,
                    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
                ),
            )
        })
    });
    let inventory = read(&world, 40_000).await;
    assert_eq!(
        home(&inventory).versioning,
        Looked::Found(Versioning::Enabled)
    );
    let away = &inventory.members[1];
    assert!(matches!(away.versioning, Looked::Failed { .. }));
    assert!(matches!(away.place, Looked::Failed { .. }));
    assert!(world.elapsed() <= 10_500, "{} ms", world.elapsed());
    // All were asked at once, not one after the other.
    let first: Vec<u128> = world.requests().iter().map(|one| one.at).collect();
    assert!(
        first.iter().filter(|at| **at == 0).count() > 30,
        "{first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_told_to() {
    let world = World::new(|_| Reply::Hang);
    let inventory = read(&world, 2_000).await;
    // The documents have the store's own time-outs.
    assert!(world.elapsed() <= 6_500, "{} ms", world.elapsed());
    assert!(matches!(home(&inventory).policy, Looked::Failed { .. }));
    assert_eq!(inventory.endpoints.len(), 5);
}

const RULES: &str = r"<ReplicationConfiguration><Role>arn:aws:iam::111122223333:role/r</Role>
<Rule><ID>whole</ID><Priority>3</Priority><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>
<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>
<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status></SseKmsEncryptedObjects>
<ReplicaModifications><Status>Enabled</Status></ReplicaModifications></SourceSelectionCriteria>
<Destination><Bucket>arn:aws:s3:::app-euw1</Bucket><Account>111122223333</Account>
<EncryptionConfiguration><ReplicaKmsKeyID>arn:aws:kms:eu-west-1:111122223333:key/k</ReplicaKmsKeyID></EncryptionConfiguration>
<ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime>
<Metrics><Status>Enabled</Status><EventThreshold><Minutes>15</Minutes></EventThreshold></Metrics></Destination></Rule>
<Rule><ID>part</ID><Priority>2</Priority><Status>Disabled</Status>
<Filter><And><Prefix>data/</Prefix><Tag><Key>copy</Key><Value>yes</Value></Tag><Tag><Key>tier</Key><Value>1</Value></Tag></And></Filter>
<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>
<Destination><Bucket>arn:aws:s3:::app-euw1</Bucket></Destination></Rule>
<Rule><ID>old</ID><Prefix>logs/</Prefix><Status>Enabled</Status>
<Destination><Bucket>arn:aws:s3:::app-euw1</Bucket></Destination></Rule></ReplicationConfiguration>";

#[tokio::test(start_paused = true)]
async fn every_switch_of_a_rule_is_read() {
    let world = world(|asked, _| (asked == "app-use1 replication").then(|| answer(200, RULES)));
    let inventory = read(&world, 40_000).await;
    let Looked::Found(rules) = &home(&inventory).replication else {
        panic!("{:?}", home(&inventory).replication);
    };
    let [whole, part, old] = rules.as_slice() else {
        panic!("{rules:?}");
    };
    assert!(whole.enabled && whole.metrics && whole.time_control && whole.delete_markers);
    assert!(whole.replica_modifications && whole.kms_objects && !whole.deprecated_form);
    assert_eq!(whole.destination, "app-euw1");
    assert_eq!(whole.priority, Some(3));
    assert_eq!(whole.scope.to_string(), "the whole bucket");
    assert_eq!(
        whole.replica_key.as_deref(),
        Some("arn:aws:kms:eu-west-1:111122223333:key/k")
    );
    assert!(!part.enabled && !part.metrics && !part.time_control && !part.delete_markers);
    assert!(!part.replica_modifications && !part.kms_objects && part.replica_key.is_none());
    assert_eq!(
        part.scope.to_string(),
        "prefix \"data/\" and tag copy=yes and tag tier=1"
    );
    assert!(old.deprecated_form && old.delete_markers);
    assert_eq!(old.scope.prefix, "logs/");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_key_is_read() {
    for (key, expected) in [
        ("<BucketKeyEnabled>true</BucketKeyEnabled>", true),
        ("", false),
    ] {
        let rule = format!(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>\
             </ApplyServerSideEncryptionByDefault>{key}</Rule></ServerSideEncryptionConfiguration>"
        );
        let world = world(move |asked, _| {
            (asked == "app-use1 encryption").then(|| answer(200, rule.clone()))
        });
        let inventory = read(&world, 40_000).await;
        let Looked::Found(encryption) = &home(&inventory).encryption else {
            panic!("{:?}", home(&inventory).encryption);
        };
        assert!(encryption.is_kms());
        assert_eq!(encryption.bucket_key, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_of_the_whole_bucket_are_found_on_any_page() {
    const PART: &str = "<MetricsConfiguration><Id>part</Id><Filter><Prefix>a/</Prefix></Filter></MetricsConfiguration>";
    const WHOLE: &str = "<MetricsConfiguration><Id>whole</Id></MetricsConfiguration>";
    let page = |of: &str, more: &str| {
        answer(
            200,
            format!(
                "<ListMetricsConfigurationsResult>{of}{more}</ListMetricsConfigurationsResult>"
            ),
        )
    };
    for (second, expected) in [(WHOLE, true), (PART, false)] {
        let world = world(move |asked, request| {
            if asked != "app-use1 metrics" && !request.path().contains("continuation-token") {
                return None;
            }
            let is_second = request.path().contains("continuation-token=more");
            Some(if is_second {
                page(second, "")
            } else {
                page(
                    PART,
                    "<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>",
                )
            })
        });
        let inventory = read(&world, 40_000).await;
        assert_eq!(home(&inventory).request_metrics, Looked::Found(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn the_witness_is_read_where_there_is_one() {
    let world = world(|_, _| None);
    let inventory = read(&world, 40_000).await;
    assert_eq!(
        inventory
            .alarm_topic
            .as_ref()
            .map(|(topic, _)| topic.as_str()),
        Some(ALARMS)
    );
    let asked = |key: &str| {
        let requests = world.requests();
        requests.iter().any(|one| one.path().contains(key))
    };
    assert!(asked("/evidence-witness.json"));
    let mut alone = settings();
    alone.witness = None;
    let world = World::new(|_| error(404, "NoSuchKey"));
    let reader = InventoryReader::new(world.edge(), alone);
    let inventory = reader.read(world.at(40_000)).await;
    assert_eq!(inventory.witness, Looked::Absent);
    assert!(
        world
            .requests()
            .iter()
            .all(|one| !one.path().contains("witness"))
    );
}

const LIFECYCLE: &str = r"<LifecycleConfiguration>
<Rule><ID>a</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>7</Days></Expiration>
<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
<Rule><ID>b</ID><Prefix>.mrap-sentinel/</Prefix><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>
<Rule><ID>c</ID><Filter><And><Prefix>big/</Prefix><ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan></And></Filter><Status>Enabled</Status>
<Transition><Days>30</Days><StorageClass>GLACIER_IR</StorageClass></Transition>
<Transition><Date>2027-01-01T00:00:00Z</Date><StorageClass>DEEP_ARCHIVE</StorageClass></Transition></Rule>
<Rule><ID>d</ID><Filter><Prefix></Prefix></Filter><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>
</LifecycleConfiguration>";

#[tokio::test(start_paused = true)]
async fn what_lifecycle_rules_do_is_told_in_words() {
    let world = world(|asked, _| (asked == "app-use1 lifecycle").then(|| answer(200, LIFECYCLE)));
    let inventory = read(&world, 40_000).await;
    let Looked::Found(actions) = &home(&inventory).lifecycle else {
        panic!("{:?}", home(&inventory).lifecycle);
    };
    let said: Vec<String> = actions
        .iter()
        .map(|one| format!("{}: {}", one.scope, one.does))
        .collect();
    assert_eq!(
        said,
        [
            "prefix \"tmp/\": deletes after 7 days",
            "prefix \".mrap-sentinel/\": deletes old versions after 1 days",
            "prefix \"big/\" and larger than 1000 bytes: moves to GLACIER_IR after 30 days",
            "prefix \"big/\" and larger than 1000 bytes: moves to DEEP_ARCHIVE from 1798761600 on",
        ]
    );
    assert!(actions[1].removes_noncurrent && !actions[0].removes_noncurrent);
}

#[tokio::test(start_paused = true)]
async fn events_are_followed_to_who_subscribes_to_them() {
    let world = world(|asked, request| {
        if asked == "app-use1 notification" {
            return Some(answer(
                200,
                format!(
                    "<NotificationConfiguration><TopicConfiguration><Topic>{EVENTS}</Topic><Event>s3:Replication:*</Event></TopicConfiguration>\
                     <QueueConfiguration><Queue>{QUEUE}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>"
                ),
            ));
        }
        if !request.body.contains("ListSubscriptionsByTopic") {
            return None;
        }
        let page = |members: &str, more: &str| {
            answer(
                200,
                format!(
                    "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>{members}</Subscriptions>{more}</ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"
                ),
            )
        };
        let pending = "<member><SubscriptionArn>PendingConfirmation</SubscriptionArn><Protocol>email</Protocol><Endpoint>a@example.com</Endpoint></member>";
        let confirmed = format!(
            "<member><SubscriptionArn>{EVENTS}:1</SubscriptionArn><Protocol>sqs</Protocol><Endpoint>{QUEUE}</Endpoint></member>"
        );
        Some(if request.body.contains("NextToken") {
            page(&confirmed, "")
        } else {
            page(pending, "<NextToken>more</NextToken>")
        })
    });
    let inventory = read(&world, 40_000).await;
    let Looked::Found(targets) = &home(&inventory).events else {
        panic!("{:?}", home(&inventory).events);
    };
    assert_eq!(targets.len(), 1, "others tell nothing of replication");
    let Looked::Found(subscriptions) = &inventory.event_topics[EVENTS] else {
        panic!("{:?}", inventory.event_topics);
    };
    let confirmed: Vec<bool> = subscriptions.iter().map(|one| one.confirmed).collect();
    assert_eq!(confirmed, [false, true]);
    let asked = world.requests();
    let of_events =
        |one: &&Request| one.body.contains("events") && one.body.contains("Action=List");
    assert!(
        asked
            .iter()
            .filter(of_events)
            .all(|one| one.region() == "us-east-1")
    );
}
