//! The routes API and the MRAP's data plane through the real SDK.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use aws_sdk_s3control::types::MultiRegionAccessPointRoute;
use common::{
    ACCOUNT, ALIAS, AWAY, HOME, MRAP, at, config, get, put, refusal, s3, s3_over, s3control, secs,
    start,
};
use simulator::truth::{Actor, Route};
use simulator::{Outage, Simulator, Timing};

fn dials(routes: &[Route]) -> Vec<(&str, u8)> {
    routes.iter().map(|r| (r.bucket.as_str(), r.dial)).collect()
}

/// Submits dials by bucket; status and error code.
async fn submit(
    sim: &Simulator,
    region: &str,
    mrap: &str,
    wanted: &[(&str, i32)],
) -> (u16, String) {
    let client = s3control(sim, "control", region);
    let mut call = client
        .submit_multi_region_access_point_routes()
        .account_id(ACCOUNT)
        .mrap(mrap);
    for (bucket, dial) in wanted {
        let route = MultiRegionAccessPointRoute::builder();
        let route = route
            .bucket(*bucket)
            .traffic_dial_percentage(*dial)
            .build()
            .unwrap();
        call = call.route_updates(route);
    }
    refusal(call.send().await)
}

#[tokio::test(start_paused = true)]
async fn the_five_regions_read_and_change_routes() {
    let sim = start(config(1));
    for region in simulator::CONTROL_REGIONS {
        let client = s3control(&sim, "control", region);
        let call = client.get_multi_region_access_point_routes();
        let read = call.account_id(ACCOUNT).mrap(MRAP).send().await.unwrap();
        assert_eq!(read.mrap(), Some(MRAP));
        assert_eq!(read.routes().len(), 2);
        assert_eq!(read.routes()[0].bucket(), Some(HOME));
        assert_eq!(read.routes()[0].region(), Some("us-east-1"));
        assert_eq!(read.routes()[0].traffic_dial_percentage(), 100);
        let (home, away) = if region == "us-east-1" {
            (0, 100)
        } else {
            (100, 0)
        };
        sim.sleep(secs(1)).await;
        assert_eq!(
            submit(&sim, region, MRAP, &[(HOME, home), (AWAY, away)])
                .await
                .0,
            200
        );
        sim.sleep(secs(1)).await;
        submit(&sim, region, MRAP, &[(HOME, 100), (AWAY, 0)]).await;
    }
    assert_eq!(
        dials(&sim.with(|w| w.routes(ALIAS))),
        [(HOME, 100), (AWAY, 0)]
    );
    let history = sim.with(|w| w.route_history(ALIAS).to_vec());
    assert_eq!(history.len(), 11);
    assert_eq!(history[0].by, Actor::Start);
    assert_eq!(dials(&history[1].after), [(HOME, 0), (AWAY, 100)]);
}

/// Region, MRAP, wanted dials; status and code.
type Refused<'a> = (&'a str, &'a str, &'a [(&'a str, i32)], u16, &'a str);

#[tokio::test(start_paused = true)]
async fn impossible_changes_are_refused() {
    let single = config(1)
        .mrap("single1234567.mrap")
        .member("alone", "us-west-2");
    let sim = start(single);
    let alone = "arn:aws:s3::111122223333:accesspoint/single1234567.mrap";
    let unknown = "arn:aws:s3::111122223333:accesspoint/nobody1234567.mrap";
    let cases: [Refused; 9] = [
        ("us-east-2", MRAP, &[(AWAY, 100)], 301, "PermanentRedirect"),
        ("eu-west-1", MRAP, &[(HOME, 0)], 400, "InvalidRequest"),
        (
            "eu-west-1",
            MRAP,
            &[(HOME, 0), (AWAY, 0)],
            400,
            "InvalidRequest",
        ),
        ("eu-west-1", MRAP, &[(HOME, 50)], 400, "InvalidRequest"),
        (
            "eu-west-1",
            MRAP,
            &[("stranger", 100)],
            400,
            "InvalidRequest",
        ),
        ("eu-west-1", MRAP, &[], 400, "InvalidRequest"),
        (
            "eu-west-1",
            "arn:aws:s3::111122223333:accesspoint/",
            &[(HOME, 100)],
            400,
            "InvalidRequest",
        ),
        (
            "eu-west-1",
            unknown,
            &[(HOME, 100)],
            404,
            "NoSuchMultiRegionAccessPoint",
        ),
        (
            "eu-west-1",
            alone,
            &[("alone", 100)],
            405,
            "MethodNotAllowed",
        ),
    ];
    for (region, mrap, wanted, status, code) in cases {
        let answer = submit(&sim, region, mrap, wanted).await;
        assert_eq!(
            answer,
            (status, code.to_owned()),
            "{region} {mrap} {wanted:?}"
        );
    }
    assert_eq!(
        sim.with(|w| w.route_history(ALIAS).len()),
        1,
        "nothing changed"
    );
}

#[tokio::test(start_paused = true)]
async fn the_second_of_two_changes_at_once_is_a_conflict() {
    let timing = Timing {
        route_conflict_window: 300..=300,
        ..Timing::default()
    };
    let sim = start(config(1).timing(timing));
    let change = [(HOME, 0), (AWAY, 100)];
    let (first, second) = tokio::join!(
        submit(&sim, "us-east-1", MRAP, &change),
        submit(&sim, "us-west-2", MRAP, &change),
    );
    assert_eq!(first.0, 200);
    assert_eq!(second.0, 409, "identical bodies conflict as well");
    sim.sleep(secs(1)).await;
    assert_eq!(submit(&sim, "us-west-2", MRAP, &change).await.0, 200);
}

/// Writes a different object to each member and tells which one the MRAP reads.
async fn mark(sim: &Simulator) {
    sim.with(|world| {
        world.put_object_as_person(HOME, "who", "home");
        world.put_object_as_person(AWAY, "who-away", "away");
    });
    sim.sleep(secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn connections_stay_and_new_ones_follow_the_routes() {
    let timing = Timing {
        route_propagation: 20_000..=20_000,
        connection_idle: 60_000,
        connection_lifetime: 600_000,
        ..Timing::default()
    };
    let sim = start(config(1).timing(timing));
    mark(&sim).await;
    let pooled = s3(&sim, "app", "us-east-2");
    let served = async |client: &aws_sdk_s3::Client| {
        let head = client
            .head_object()
            .bucket(MRAP)
            .key("who")
            .send()
            .await
            .unwrap();
        head.replication_status.unwrap().as_str().to_owned()
    };
    let fresh = async || served(&s3_over(&sim, sim.http_client("app"), "us-east-2")).await;
    assert_eq!(served(&pooled).await, "COMPLETED", "home wrote it");
    let changed = sim.now();
    submit(&sim, "us-west-2", MRAP, &[(HOME, 0), (AWAY, 100)]).await;
    assert_eq!(fresh().await, "COMPLETED", "not propagated yet");
    sim.clock().sleep_until(changed + secs(21)).await;
    assert_eq!(
        dials(&sim.with(|w| w.effective_routes(ALIAS, "us-east-2"))),
        [(HOME, 0), (AWAY, 100)]
    );
    assert_eq!(fresh().await, "REPLICA", "a new connection follows");
    assert_eq!(served(&pooled).await, "COMPLETED", "an open one stays");
    // Its Region hangs: the client times out, the connection is closed, the next try moves.
    sim.with(|world| world.region_down(Outage::hang("us-east-1", world.now(), secs(600))));
    assert_eq!(
        refusal(pooled.head_object().bucket(MRAP).key("who").send().await).0,
        0
    );
    assert_eq!(served(&pooled).await, "REPLICA");
}

#[tokio::test(start_paused = true)]
async fn idle_and_old_connections_are_opened_anew() {
    let timing = Timing {
        route_propagation: 1_000..=1_000,
        ..Timing::default()
    };
    let sim = start(config(1).timing(timing));
    mark(&sim).await;
    let client = s3(&sim, "app", "us-east-2");
    assert_eq!(get(&client, MRAP, "who").await, "home");
    sim.with(|world| world.set_routes_as_person(ALIAS, &[(HOME, 0), (AWAY, 100)]));
    sim.sleep(secs(2)).await;
    let served = async || {
        client
            .get_object()
            .bucket(MRAP)
            .key("who")
            .send()
            .await
            .unwrap();
        sim.with(|world| world.log().last().unwrap().region.clone())
    };
    assert_eq!(served().await, "us-east-1");
    sim.sleep(secs(21)).await;
    assert_eq!(served().await, "eu-west-1", "idle for more than 20 s");
    assert!(matches!(
        sim.with(|w| w.route_history(ALIAS)[1].by.clone()),
        Actor::Person
    ));
}

#[tokio::test(start_paused = true)]
async fn the_nearest_active_member_serves() {
    let world = config(1)
        .all_active()
        .client("near", "us-east-2")
        .client("far", "eu-central-1");
    let sim = start(world);
    for (label, region) in [("near", "us-east-1"), ("far", "eu-west-1")] {
        let client = s3(&sim, label, "us-east-2");
        put(&client, MRAP, label, "x").await;
        let entry = sim.with(|world| world.log().last().unwrap().clone());
        assert_eq!((entry.region.as_str(), entry.through_mrap), (region, true));
    }
    let missing = s3(&sim, "near", "us-east-2")
        .get_object()
        .bucket(MRAP)
        .key("no")
        .send()
        .await;
    assert_eq!(refusal(missing), (404, "NoSuchKey".to_owned()));
    let unknown = "arn:aws:s3::111122223333:accesspoint/nobody1234567.mrap";
    let nowhere = s3(&sim, "near", "us-east-2")
        .get_object()
        .bucket(unknown)
        .key("k")
        .send()
        .await;
    assert!(
        nowhere.unwrap_err().as_service_error().is_none(),
        "no such name"
    );
}

#[tokio::test(start_paused = true)]
async fn locations_follow_at_different_times_within_two_minutes() {
    let sim = start(
        config(7)
            .client("a", "eu-central-1")
            .client("b", "ap-northeast-1"),
    );
    sim.with(|world| world.set_routes_as_person(ALIAS, &[(AWAY, 100), (HOME, 0)]));
    let change = sim.with(|world| world.route_history(ALIAS)[1].clone());
    let times: std::collections::BTreeSet<_> = change.effective.values().collect();
    assert!(times.len() > 1);
    assert!(
        change
            .effective
            .values()
            .all(|t| *t > change.at && *t <= at(120))
    );
}
