//! What may not be looked at, and what does not answer.

use std::time::Duration;

use serde_json::json;
use simulator::{Fault, FaultKind, Outage, SimTime, Versioning};

use crate::stage::{AWAY, NOTHING, Stage, TIME_OUT, on_virtual_time};

/// Operations that may be refused, and the permission that the finding then names.
const PERMISSIONS: [(&str, &str); 16] = [
    ("GetBucketVersioning", "s3:GetBucketVersioning"),
    ("GetBucketReplication", "s3:GetReplicationConfiguration"),
    ("GetBucketEncryption", "s3:GetEncryptionConfiguration"),
    (
        "GetObjectLockConfiguration",
        "s3:GetBucketObjectLockConfiguration",
    ),
    (
        "GetBucketOwnershipControls",
        "s3:GetBucketOwnershipControls",
    ),
    ("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    ("GetBucketPolicy", "s3:GetBucketPolicy"),
    (
        "GetBucketNotificationConfiguration",
        "s3:GetBucketNotification",
    ),
    (
        "ListBucketMetricsConfigurations",
        "s3:GetMetricsConfiguration",
    ),
    (
        "GetBucketLifecycleConfiguration",
        "s3:GetLifecycleConfiguration",
    ),
    ("GetBucketRequestPayment", "s3:GetBucketRequestPayment"),
    (
        "HeadBucket",
        "s3:ListBucket (or the bucket is another account's)",
    ),
    (
        "GetMultiRegionAccessPointRoutes",
        "s3:GetMultiRegionAccessPointRoutes",
    ),
    ("ListSubscriptionsByTopic", "sns:ListSubscriptionsByTopic"),
    ("DescribeAlarms", "cloudwatch:DescribeAlarms"),
    ("GetMetricData", "cloudwatch:GetMetricData"),
];

#[test]
fn every_missing_permission_is_a_finding_and_no_crash() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        assert_eq!(stage.found().await, NOTHING);
        for (operation, permission) in PERMISSIONS {
            let fault = Fault {
                operations: vec![operation.to_owned()],
                ..Fault::new(FaultKind::AccessDenied)
            };
            let id = stage.change(|world| world.add_fault(fault));
            assert_eq!(
                stage.found().await,
                NOTHING,
                "once may be a policy that is on its way"
            );
            let found = stage.found().await;
            let expected = [format!("permission/{permission}"), NOTHING[0].to_owned()];
            assert_eq!(found, expected, "{operation}");
            stage.change(|world| world.remove_fault(id));
            assert_eq!(stage.found().await, NOTHING, "{operation} is allowed again");
        }
    });
}

#[test]
fn a_region_that_hangs_delays_nobody_and_hides_nothing() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        stage.change(|world| world.set_versioning(AWAY, Versioning::Suspended));
        assert!(
            stage
                .found()
                .await
                .contains(&"versioning/app-euw1".to_owned())
        );
        stage.rest(Duration::from_mins(1)).await;
        let now = stage.sim.now();
        let outage = Outage::hang("eu-west-1", now, Duration::from_hours(2));
        stage.change(|world| world.region_down(outage));
        let began = stage.now();
        let answer = stage.readiness().await;
        let took = stage.now().duration_since(began);
        assert!(took < TIME_OUT / 2, "it took {took}");
        let versioning = answer["findings"].as_array().unwrap().iter();
        let mut versioning = versioning.filter(|one| one["id"] == "versioning/app-euw1");
        assert_eq!(versioning.next().unwrap()["unconfirmed"], true);
        assert_eq!(answer["fixed"], json!([]), "what is not seen is not mended");
        assert!(answer["unread"].as_u64().unwrap() > 5, "{answer:#}");
        let said = answer["report"].as_str().unwrap();
        assert!(said.contains("could not be looked at this time"), "{said}");

        // Once is nothing to tell people of, twice is.
        let is_readable = |id: &String| id.starts_with("readable/app-euw1");
        assert!(!crate::stage::ids(&answer).iter().any(is_readable));
        stage.rest(Duration::from_mins(30)).await;
        assert!(stage.found().await.iter().any(is_readable));
    });
}

#[test]
fn nobody_to_tell_is_an_error_and_told_later() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        let fault = Fault {
            operations: vec!["Publish".to_owned()],
            ..Fault::new(FaultKind::InternalError)
        };
        stage.change(|world| world.add_fault(fault));
        let error = stage.invoke(json!({"command": "tick"})).await.unwrap_err();
        assert!(
            error.chain().contains("kept for the next look"),
            "{}",
            error.chain()
        );
        assert_eq!(stage.report()["outbox"].as_array().unwrap().len(), 1);
        // Who asks is answered, and told that nobody else is.
        let answer = stage.readiness().await;
        assert!(answer["report"].is_string(), "{answer:#}");
        assert_eq!(answer["failedTopics"].as_array().unwrap().len(), 1);
        assert_eq!(stage.report()["outbox"].as_array().unwrap().len(), 1);
        stage.change(simulator::World::clear_faults);
        stage.invoke(json!({"command": "tick"})).await.unwrap();
        assert_eq!(stage.announced().len(), 1);
        assert_eq!(stage.report().get("outbox"), None);
    });
}

#[test]
fn without_the_state_bucket_nothing_is_reported() {
    on_virtual_time(async || {
        let mut stage = Stage::new();
        let fault = Fault {
            operations: vec!["PutObject".to_owned()],
            from: SimTime::ZERO,
            ..Fault::new(FaultKind::AccessDenied)
        };
        stage.change(|world| world.add_fault(fault));
        let error = stage.invoke(json!({"command": "tick"})).await.unwrap_err();
        assert!(error.chain().contains("drift.json"), "{}", error.chain());
        assert!(stage.announced().is_empty());
    });
}
