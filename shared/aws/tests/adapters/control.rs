//! The routes API: what is sent, the order and timing of the hedge, and how refusals are told apart.

use std::collections::BTreeSet;
use std::time::Duration;

use sentinel_aws::control::{
    ControlError, ControlPlane, ControlTimeouts, SubmitError, Try, TryOutcome,
};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_aws::failure::Failure;
use sentinel_core::names::Region;
use sentinel_core::routes::{Dial, Route};

use crate::wire::{Reply, Request, World, after, answer, error};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";
const MEMBERS: &str = "app-use1@us-east-1,app-euw1@eu-west-1";

const ROUTES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<GetMultiRegionAccessPointRoutesResult xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/">
<Mrap>arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap</Mrap><Routes>
<Route><Bucket>app-use1</Bucket><Region>us-east-1</Region><TrafficDialPercentage>100</TrafficDialPercentage></Route>
<Route><Bucket>app-euw1</Bucket><Region>eu-west-1</Region><TrafficDialPercentage>0</TrafficDialPercentage></Route>
</Routes></GetMultiRegionAccessPointRoutesResult>"#;

fn plane(world: &World) -> ControlPlane {
    ControlPlane::new(
        world.edge(),
        MRAP.parse().unwrap(),
        MEMBERS.parse().unwrap(),
        ControlTimeouts {
            try_timeout: Duration::from_secs(2),
            hedge_delay: Duration::from_millis(300),
        },
    )
}

fn route(bucket: &str, region: &str, dial: Dial) -> Route {
    Route {
        bucket: bucket.parse().unwrap(),
        region: region.parse().unwrap(),
        dial,
    }
}

fn failover() -> Vec<Route> {
    vec![
        route("app-use1", "us-east-1", Dial::Passive),
        route("app-euw1", "eu-west-1", Dial::Active),
    ]
}

fn regions(names: &[&str]) -> BTreeSet<Region> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A world in which each control endpoint does its own thing.
fn world(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> World {
    World::new(move |request: &Request| script(request.region()))
}

/// The tries as `endpoint@start: outcome`.
fn told(tries: &[Try], world: &World) -> Vec<String> {
    tries
        .iter()
        .map(|one| {
            let at = one.started_at.duration_since(world.at(0)).as_millis();
            let outcome = match &one.outcome {
                TryOutcome::Answered => "answered".to_owned(),
                TryOutcome::Abandoned => "abandoned".to_owned(),
                TryOutcome::Failed(Failure::Status { status, .. }) => status.to_string(),
                TryOutcome::Failed(Failure::Deadline) => "deadline".to_owned(),
                TryOutcome::Failed(Failure::Connection { .. }) => "connection".to_owned(),
                TryOutcome::Failed(Failure::Client { .. }) => "client".to_owned(),
            };
            format!("{}@{at}: {outcome}", one.endpoint)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_submit_names_buckets_and_dials_only() {
    let world = world(|_| answer(200, ""));
    let submitted = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(5000))
        .await
        .unwrap();
    assert_eq!(submitted.endpoint.as_str(), "us-east-1");
    let [request] = &world.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.method, "PATCH");
    assert_eq!(
        request.authority(),
        "111122223333.s3-control.us-east-1.amazonaws.com"
    );
    assert_eq!(
        request.path(),
        "/v20180820/mrap/instances/arn%3Aaws%3As3%3A%3A111122223333%3Aaccesspoint/mfzwi23gnjvgw.mrap/routes"
    );
    assert_eq!(request.header("x-amz-account-id"), Some("111122223333"));
    assert!(
        request
            .header("x-amz-checksum-crc32")
            .or(request.header("content-md5"))
            .is_some()
    );
    assert_eq!(
        request.body,
        concat!(
            r#"<SubmitMultiRegionAccessPointRoutesRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><RouteUpdates>"#,
            "<Route><Bucket>app-use1</Bucket><TrafficDialPercentage>0</TrafficDialPercentage></Route>",
            "<Route><Bucket>app-euw1</Bucket><TrafficDialPercentage>100</TrafficDialPercentage></Route>",
            "</RouteUpdates></SubmitMultiRegionAccessPointRoutesRequest>"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn the_hedge_asks_the_next_while_the_first_hangs() {
    let world = world(|region| match region {
        "us-east-1" => Reply::Hang,
        "us-west-2" => after(40, error(503, "SlowDown")),
        _ => answer(200, ROUTES),
    });
    let read = plane(&world)
        .routes(&BTreeSet::new(), world.at(5000))
        .await
        .unwrap();
    assert_eq!(
        told(&read.tries, &world),
        [
            "us-east-1@0: abandoned",
            "us-west-2@300: 503",
            "eu-west-1@340: answered"
        ]
    );
    assert_eq!(world.elapsed(), 340);
    assert_eq!(read.routes.active(), regions(&["us-east-1"]));
    assert!(read.tries[0].may_land_late() && !read.tries[2].may_land_late());
}

#[tokio::test(start_paused = true)]
async fn the_nearest_is_asked_first_and_believed_bad_regions_last() {
    for (avoid, first, last) in [
        (&[][..], "us-east-1", "ap-southeast-2"),
        (&["us-east-1"][..], "us-west-2", "us-east-1"),
        (&["us-east-1", "us-west-2"][..], "eu-west-1", "us-west-2"),
    ] {
        let world = world(|_| Reply::Refuse);
        let failed = plane(&world)
            .routes(&regions(avoid), world.at(400))
            .await
            .unwrap_err();
        assert!(
            matches!(failed, ControlError::AllUnreachable { .. }),
            "{failed}"
        );
        assert_eq!(failed.tries()[0].endpoint.as_str(), first);
        assert_eq!(failed.tries()[4].endpoint.as_str(), last);
    }

    let world = world(|_| answer(200, ROUTES));
    let mut parts = world.parts(EndpointOverrides::default());
    parts.region = "ap-northeast-1".parse().unwrap();
    let plane = ControlPlane::new(
        std::sync::Arc::new(sentinel_aws::edge::Edge::new(parts)),
        MRAP.parse().unwrap(),
        MEMBERS.parse().unwrap(),
        ControlTimeouts {
            try_timeout: Duration::from_secs(2),
            hedge_delay: Duration::from_millis(300),
        },
    );
    let read = plane
        .routes(&BTreeSet::new(), world.at(5000))
        .await
        .unwrap();
    assert_eq!(read.endpoint.as_str(), "ap-northeast-1");
}

#[tokio::test(start_paused = true)]
async fn a_second_pass_follows_only_where_it_may_help() {
    // Everything hangs or refuses in the first pass but one misplaced endpoint, which is not asked again.
    let world = World::new(|request: &Request| match (request.region(), request.at) {
        ("us-west-2", _) => error(301, "PermanentRedirect"),
        ("eu-west-1", 500..) => answer(200, ""),
        _ => error(503, "SlowDown"),
    });
    let submitted = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(5000))
        .await
        .unwrap();
    assert_eq!(
        told(&submitted.tries, &world),
        [
            "us-east-1@0: 503",
            "us-west-2@0: 301",
            "eu-west-1@0: 503",
            "ap-northeast-1@0: 503",
            "ap-southeast-2@0: 503",
            "us-east-1@500: 503",
            "eu-west-1@500: answered",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn five_hanging_endpoints_end_with_the_deadline_and_no_try_after_it() {
    let world = world(|_| Reply::Hang);
    let failed = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(1000))
        .await
        .unwrap_err();
    assert!(
        matches!(failed, SubmitError::DeadlinePassed { .. }),
        "{failed}"
    );
    assert_eq!(world.elapsed(), 1000);
    assert_eq!(
        world
            .requests()
            .iter()
            .map(|request| request.at)
            .collect::<Vec<_>>(),
        [0, 300, 600, 900]
    );
    assert!(failed.tries().iter().all(Try::may_land_late));

    let failed = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(1000))
        .await
        .unwrap_err();
    assert_eq!(failed, SubmitError::DeadlinePassed { tries: vec![] });
}

#[tokio::test(start_paused = true)]
async fn with_time_enough_five_hanging_endpoints_are_asked_twice() {
    let world = world(|_| Reply::Hang);
    let failed = plane(&world)
        .routes(&BTreeSet::new(), world.at(30_000))
        .await
        .unwrap_err();
    assert!(
        matches!(failed, ControlError::AllUnreachable { .. }),
        "{failed}"
    );
    assert_eq!(failed.tries().len(), 10);
    assert_eq!(failed.tries()[5].started_at, world.at(1200 + 2000 + 500));
    assert!(
        failed.to_string().contains("us-east-1: no answer in time"),
        "{failed}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_our_own_sibling_is_a_success() {
    // The first try is applied, but its answer is slow; its sibling meets it.
    let world = world(|region| match region {
        "us-east-1" => after(900, answer(200, "")),
        _ => after(100, error(409, "OperationAborted")),
    });
    let submitted = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(5000))
        .await
        .unwrap();
    assert_eq!(
        told(&submitted.tries, &world),
        ["us-east-1@0: answered", "us-west-2@300: 409"]
    );
    assert_eq!(world.elapsed(), 900);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_reported_once_no_sibling_is_out() {
    let world = world(|region| match region {
        "us-east-1" => Reply::Hang,
        _ => error(409, "OperationAborted"),
    });
    let failed = plane(&world)
        .submit(&failover(), &BTreeSet::new(), world.at(5000))
        .await
        .unwrap_err();
    assert!(matches!(failed, SubmitError::Conflict { .. }), "{failed}");
    assert_eq!(
        told(failed.tries(), &world),
        ["us-east-1@0: deadline", "us-west-2@300: 409"]
    );
    assert_eq!(world.elapsed(), 2000);
}

#[tokio::test(start_paused = true)]
async fn refusals_stop_at_once() {
    for (status, code) in [
        (400, "InvalidRequest"),
        (403, "AccessDenied"),
        (404, "NoSuchMultiRegionAccessPoint"),
        (405, "MethodNotAllowed"),
    ] {
        // Wrapped as S3 Control does it, and bare as S3 does.
        let wrapped = answer(
            status,
            format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"),
        );
        for reply in [wrapped, error(status, code)] {
            let world = world(move |_| reply.clone());
            let failed = plane(&world)
                .submit(&failover(), &BTreeSet::new(), world.at(5000))
                .await
                .unwrap_err();
            let SubmitError::Rejected { failure, tries, .. } = failed else {
                panic!("{failed}")
            };
            assert_eq!(
                (failure.status(), failure.code()),
                (Some(status), Some(code))
            );
            assert_eq!(tries.len(), 1);
            assert!(!tries[0].may_land_late());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_change_is_not_sent() {
    let world = world(|_| answer(200, ""));
    for changes in [
        vec![],
        vec![route("app-use1", "us-east-1", Dial::Undefined(10))],
    ] {
        let failed = plane(&world)
            .submit(&changes, &BTreeSet::new(), world.at(5000))
            .await
            .unwrap_err();
        assert!(matches!(failed, SubmitError::Unsubmittable(_)), "{failed}");
    }
    assert!(world.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn routes_of_other_buckets_are_drift() {
    let xml = |routes: &str| {
        format!(
            "<GetMultiRegionAccessPointRoutesResult><Routes>{routes}</Routes></GetMultiRegionAccessPointRoutesResult>"
        )
    };
    let one = |bucket: &str, region: &str| {
        format!("<Route>{bucket}{region}<TrafficDialPercentage>100</TrafficDialPercentage></Route>")
    };
    let bucket = |name: &str| format!("<Bucket>{name}</Bucket>");
    let region = |name: &str| format!("<Region>{name}</Region>");
    let home = one(&bucket("app-use1"), &region("us-east-1"));
    for (body, expected) in [
        (xml(&home), Some("app-euw1@eu-west-1 has no route")),
        (
            xml(&format!(
                "{home}{}",
                one(&bucket("other"), &region("eu-west-1"))
            )),
            Some("a route leads to other, which is no member"),
        ),
        (
            xml(&format!(
                "{home}{}",
                one(&bucket("app-euw1"), &region("eu-west-2"))
            )),
            Some("the route to app-euw1 leads to eu-west-2, configured is eu-west-1"),
        ),
        (
            xml(&format!("{home}{home}")),
            Some("app-use1@us-east-1 has two routes"),
        ),
        // Without bucket or without Region the members say which is meant.
        (
            xml(&format!("{home}{}", one("", &region("eu-west-1")))),
            None,
        ),
        (
            xml(&format!("{home}{}", one(&bucket("app-euw1"), ""))),
            None,
        ),
    ] {
        let answered = body.clone();
        let world = world(move |_| answer(200, answered.clone()));
        match (
            plane(&world).routes(&BTreeSet::new(), world.at(5000)).await,
            expected,
        ) {
            (Ok(read), None) => assert_eq!(read.routes.active().len(), 2),
            (Err(ControlError::Mismatch { detail, read, .. }), Some(expected)) => {
                assert_eq!(detail, expected);
                assert!(!read.is_empty());
            }
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}
