//! Each fault, as the SDK's client experiences it and as the world knows it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use common::{ALIAS, AWAY, HOME, MRAP, config, get, put, refusal, s3, s3control, secs, sns, start};
use simulator::{Fate, Fault, FaultKind, Outage, Service, Simulator};

/// What a client saw of a PUT.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Answer(u16, String),
    Timeout,
    Connection,
}

async fn try_put(sim: &Simulator, bucket: &str) -> (Seen, Duration) {
    let client = s3(sim, "app", "us-east-1");
    let started = sim.now();
    let put = client
        .put_object()
        .bucket(bucket)
        .key("k")
        .body(b"v".to_vec().into());
    let result = put.send().await;
    let seen = match &result {
        Err(SdkError::DispatchFailure(failure)) if failure.is_timeout() => Seen::Timeout,
        Err(SdkError::TimeoutError(_)) => Seen::Timeout,
        Err(SdkError::DispatchFailure(_)) => Seen::Connection,
        _ => {
            let (status, code) = refusal(result);
            Seen::Answer(status, code)
        }
    };
    (seen, sim.now().since(started))
}

#[tokio::test(start_paused = true)]
async fn every_kind_does_what_it_says() {
    let answer = |status, code: &str| Seen::Answer(status, code.to_owned());
    // Kind, what is seen, whether it took seconds, whether the write is there at once and later.
    let cases = [
        (FaultKind::Refuse, Seen::Connection, false, false, false),
        (FaultKind::Hang, Seen::Timeout, true, false, false),
        (FaultKind::DnsFailure, Seen::Connection, false, false, false),
        (FaultKind::AnswerLost, Seen::Timeout, true, true, true),
        (
            FaultKind::LateLanding { millis: 30_000 },
            Seen::Timeout,
            true,
            false,
            true,
        ),
        (
            FaultKind::SlowDown,
            answer(503, "SlowDown"),
            false,
            false,
            false,
        ),
        (
            FaultKind::InternalError,
            answer(500, "InternalError"),
            false,
            false,
            false,
        ),
        (
            FaultKind::Slow { millis: 1_500 },
            answer(200, ""),
            true,
            true,
            true,
        ),
        (
            FaultKind::Slow { millis: 9_000 },
            Seen::Timeout,
            true,
            true,
            true,
        ),
        (FaultKind::BodyStalls, answer(200, ""), false, true, true),
        (
            FaultKind::InvalidCredentials,
            answer(403, "InvalidAccessKeyId"),
            false,
            false,
            false,
        ),
        (
            FaultKind::AccessDenied,
            answer(403, "AccessDenied"),
            false,
            false,
            false,
        ),
        (
            FaultKind::ClockSkew,
            answer(403, "RequestTimeTooSkewed"),
            false,
            false,
            false,
        ),
    ];
    for (kind, seen, slow, at_once, later) in cases {
        let sim = start(config(1));
        sim.with(|w| w.add_fault(Fault::new(kind.clone()).region("us-east-1")));
        let (actual, took) = try_put(&sim, HOME).await;
        assert_eq!(actual, seen, "{kind:?}");
        assert_eq!(took >= secs(1), slow, "{kind:?} took {took:?}");
        assert!(took <= secs(3), "{kind:?} took {took:?}");
        let there = || sim.with(|w| w.object(HOME, "k").is_some());
        assert_eq!(there(), at_once, "{kind:?} at once");
        sim.sleep(secs(29)).await;
        assert_eq!(there(), at_once, "{kind:?} before it lands");
        sim.sleep(secs(10)).await;
        assert_eq!(there(), later, "{kind:?} later");
        let acknowledged = sim.with(|w| w.writes().iter().any(|w| w.acknowledged_at.is_some()));
        assert_eq!(acknowledged, actual == answer(200, ""), "{kind:?}");
        let fate = match seen {
            Seen::Answer(..) => Fate::Answered,
            Seen::Timeout => Fate::GaveUp,
            Seen::Connection => Fate::ConnectionFailed,
        };
        assert_eq!(sim.with(|w| w.log()[0].fate), fate, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_ends_in_the_readers_time_out() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-1");
    put(&client, HOME, "k", "a body of some length").await;
    sim.with(|w| w.add_fault(Fault::new(FaultKind::BodyStalls).operation("GetObject")));
    let started = sim.now();
    let answer = client
        .get_object()
        .bucket(HOME)
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(answer.body.collect().await.is_err());
    assert!(sim.now().since(started) < secs(30));
    assert_eq!(sim.with(|w| w.log().last().unwrap().fate), Fate::GaveUp);
}

#[tokio::test(start_paused = true)]
async fn scopes_are_kept() {
    let sim = start(config(1));
    let home = s3(&sim, "app", "us-east-1");
    let away = s3(&sim, "other", "eu-west-1");
    put(&home, HOME, "k", "v").await;
    put(&away, AWAY, "k", "v").await;
    let get_status = async |client: &aws_sdk_s3::Client, bucket: &str, key: &str| {
        refusal(client.get_object().bucket(bucket).key(key).send().await).0
    };
    let fault = || Fault::new(FaultKind::InternalError);
    let now = sim.now();
    let elsewhere = [
        fault().region("eu-west-1"),
        fault().service(Service::Sns),
        fault().operation("PutObject"),
        fault().client("other"),
        fault().path_contains("different"),
        fault().through_mrap(true),
        fault().from(now + secs(60)),
        fault().until(now),
        fault().probability(0.0),
    ];
    for fault in elsewhere {
        let id = sim.with(|w| w.add_fault(fault.clone()));
        assert_eq!(get_status(&home, HOME, "k").await, 200, "{fault:?}");
        assert!(sim.with(|w| w.remove_fault(id)));
    }
    let here = fault()
        .region("us-east-1")
        .service(Service::S3)
        .operation("GetObject");
    let here = here
        .client("app")
        .path_contains("app-use1/k")
        .through_mrap(false);
    sim.with(|w| w.add_fault(here));
    assert_eq!(get_status(&home, HOME, "k").await, 500);
    assert_eq!(get_status(&home, HOME, "x").await, 404);
    assert_eq!(get_status(&away, AWAY, "k").await, 200);
    sim.with(simulator::World::clear_faults);
    assert_eq!(get_status(&home, HOME, "k").await, 200);
    sim.with(|w| w.add_fault(fault().probability(0.3)));
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(get_status(&home, HOME, "k").await == 500);
    }
    assert!((30..90).contains(&failed), "{failed} of 200");
}

#[tokio::test(start_paused = true)]
async fn an_outage_takes_down_what_it_names() {
    let sim = start(config(1).topic("us-east-1", "pages"));
    sim.with(|w| w.region_down(Outage::refuse("us-east-1", w.now(), secs(60))));
    assert!(!sim.with(|w| w.is_region_up("us-east-1")));
    assert_eq!(try_put(&sim, HOME).await.0, Seen::Connection);
    let read = async || {
        let control = s3control(&sim, "control", "us-east-1");
        let call = control.get_multi_region_access_point_routes();
        refusal(call.account_id(common::ACCOUNT).mrap(MRAP).send().await).0
    };
    assert_eq!(read().await, 0);
    let through = s3(&sim, "app", "us-east-2")
        .get_object()
        .bucket(MRAP)
        .key("k")
        .send()
        .await;
    assert_eq!(
        refusal(through).0,
        0,
        "the MRAP does not fail over by itself"
    );
    let publish = async || {
        let call = sns(&sim, "pager", "us-east-1").publish().message("m");
        refusal(
            call.topic_arn("arn:aws:sns:us-east-1:111122223333:pages")
                .send()
                .await,
        )
        .0
    };
    assert_eq!(publish().await, 200);
    sim.with(|w| w.region_down(Outage::refuse("us-east-1", w.now(), secs(60)).everything()));
    assert_eq!(publish().await, 0);
    sim.sleep(secs(61)).await;
    assert_eq!(publish().await, 200);
    assert_eq!(read().await, 200);
    assert_eq!(sim.with(|w| w.routes(ALIAS).len()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_crash_delivers_the_request_and_loses_the_answer() {
    let sim = start(config(1));
    let http = sim.http_client("function");
    let client = common::s3_over(&sim, http.clone(), "us-east-2");
    put(&client, "state", "one", "1").await;
    http.crash_after(2);
    let invocation = async {
        put(&client, "state", "two", "2").await;
        put(&client, "state", "three", "3").await;
        put(&client, "state", "four", "4").await;
    };
    tokio::select! {
        biased;
        () = http.crashed() => {}
        () = invocation => unreachable!("it must not live"),
    }
    assert_eq!(sim.with(|w| w.keys("state").join(",")), "one,three,two");
    assert_eq!(sim.requests_of("function"), 3);
    let dead = tokio::time::timeout(secs(60), client.head_bucket().bucket("state").send()).await;
    assert!(
        dead.is_ok_and(|answer| answer.is_err()),
        "the SDK's own time-out ends it"
    );
    assert_eq!(sim.with(|w| w.log().len()), 3, "nothing more was sent");
    sim.revive("function");
    assert_eq!(get(&client, "state", "three").await, "3");
    let acknowledged = sim.with(|w| {
        w.writes()
            .iter()
            .filter(|w| w.acknowledged_at.is_some())
            .count()
    });
    assert_eq!(acknowledged, 2);
}
