//! Canaries straight at the members, and the proof through the access point.

use std::collections::BTreeSet;
use std::time::Duration;

use sentinel_aws::probe::{Prober, ProberParts};
use sentinel_aws::proof::{Proof, Serving};
use sentinel_aws::store::Store;
use sentinel_core::evidence::{Copying, ProbeOutcome};
use sentinel_core::names::Members;

use crate::wire::{Reply, Request, World, after, answer, answer_with, error};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";
const MEMBERS: &str = "app-use1@us-east-1,app-euw1@eu-west-1";

fn prober(world: &World) -> Prober {
    let edge = world.edge();
    Prober::new(
        edge.clone(),
        ProberParts {
            mrap: MRAP.parse().unwrap(),
            members: MEMBERS.parse().unwrap(),
            canary_prefix: ".mrap-sentinel".to_owned(),
            timeout: Duration::from_secs(3),
            observer: Store::new(edge, "sentinel-state".parse().unwrap()),
        },
    )
}

fn canary(at: &str) -> Reply {
    answer_with(
        200,
        &[("x-amz-meta-round", "r0"), ("x-amz-meta-written-at", at)],
        "x",
    )
}

#[tokio::test(start_paused = true)]
async fn a_round_writes_reads_and_looks_for_the_others() {
    let world = World::new(
        |request: &Request| match (request.method.as_str(), request.region()) {
            ("PUT", _) => after(40, answer(200, "")),
            ("GET", "eu-central-1") => error(404, "NoSuchKey"),
            ("GET", _) => after(60, canary("2026-11-20T16:59:03.000Z")),
            ("HEAD", "eu-west-1") => canary("2026-11-20T16:58:50.123Z"),
            _ => answer(404, ""),
        },
    );
    let round = prober(&world).round("r1", world.at(10_000)).await;
    assert_eq!(round.at, world.at(0));
    assert_eq!(round.observer, ProbeOutcome::Success);
    assert_eq!(world.elapsed(), 100, "members side by side");
    let [home, standby] = &round.members[..] else {
        panic!("two members")
    };
    assert_eq!(
        (home.write.clone(), home.read.clone()),
        (ProbeOutcome::Success, ProbeOutcome::Success)
    );
    assert_eq!(home.latency_millis, 60);
    assert_eq!(
        standby.seen[&home.region],
        "2026-11-20T16:58:50.123Z".parse().unwrap()
    );
    assert!(
        !home.seen.contains_key(&standby.region),
        "not readable there"
    );
    assert!(home.refused.is_empty(), "it is not there");
    assert!(home.absent.contains(&standby.region) && standby.absent.is_empty());
    assert_eq!(home.seen[&home.region], world.at(0));

    assert_eq!(home.replicates, Some(false), "no replication status");

    let put = world
        .requests()
        .into_iter()
        .find(|request| request.method == "PUT")
        .unwrap();
    assert_eq!(put.authority(), "app-use1.s3.us-east-1.amazonaws.com");
    assert!(
        put.path()
            .starts_with("/.mrap-sentinel/mfzwi23gnjvgw.mrap/us-east-1"),
        "{}",
        put.uri
    );
    assert_eq!(put.header("x-amz-meta-round"), Some("r1"));
    assert_eq!(
        put.header("x-amz-meta-written-at"),
        Some("2026-11-20T16:59:03.000Z")
    );
    assert_eq!(put.header("if-none-match"), None, "a plain PUT");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_hangs_holds_nobody_up() {
    let world = World::new(
        |request: &Request| match (request.region(), request.method.as_str()) {
            ("us-east-1", _) => Reply::Hang,
            (_, "PUT") => answer(200, ""),
            ("eu-west-1", _) => canary("2026-11-20T16:59:03.000Z"),
            _ => error(403, "AccessDenied"),
        },
    );
    let round = prober(&world).round("r1", world.at(10_000)).await;
    assert_eq!(world.elapsed(), 6_000, "write and read, three seconds each");
    assert_eq!(round.members[0].write, ProbeOutcome::Deadline);
    assert_eq!(round.members[0].read, ProbeOutcome::Deadline);
    assert_eq!(round.members[1].read, ProbeOutcome::Success);
    let denied = ProbeOutcome::Status {
        status: 403,
        code: Some("AccessDenied".to_owned()),
    };
    assert_eq!(round.observer, denied);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_may_not_be_read_is_told_from_one_that_is_not_there() {
    let world = World::new(
        |request: &Request| match (request.method.as_str(), request.region()) {
            ("PUT", _) => answer(200, ""),
            ("GET", _) => canary("2026-11-20T16:59:03.000Z"),
            ("HEAD", "eu-west-1") => answer(403, ""),
            _ => answer(404, ""),
        },
    );
    let round = prober(&world).round("r1", world.at(10_000)).await;
    let [home, standby] = &round.members[..] else {
        panic!("two members")
    };
    assert!(standby.refused.contains(&home.region) && home.refused.is_empty());
    assert!(!standby.seen.contains_key(&home.region));
    assert!(standby.absent.is_empty());
}

/// Somebody else's object under the key of a canary is none.
#[tokio::test(start_paused = true)]
async fn what_no_probe_wrote_is_no_canary() {
    let world = World::new(|request: &Request| match request.method.as_str() {
        "GET" => canary("2026-11-20T16:59:03.000Z"),
        "PUT" | "HEAD" => answer(200, ""),
        _ => answer(404, ""),
    });
    let round = prober(&world).round("r1", world.at(20_000)).await;
    for member in &round.members {
        assert_eq!((member.seen.len(), member.absent.len()), (1, 1));
    }
}

/// What got no answer may be there all the same.
#[tokio::test(start_paused = true)]
async fn a_canary_that_nobody_told_of_is_not_absent() {
    let world = World::new(
        |request: &Request| match (request.method.as_str(), request.region()) {
            ("PUT", _) => answer(200, ""),
            ("GET", _) => canary("2026-11-20T16:59:03.000Z"),
            ("HEAD", "eu-west-1") => answer(503, ""),
            _ => Reply::Hang,
        },
    );
    let round = prober(&world).round("r1", world.at(20_000)).await;
    for member in &round.members {
        assert_eq!(member.seen.len(), 1, "its own");
        assert!(member.refused.is_empty() && member.absent.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_ends_when_it_must() {
    let world = World::new(|_| Reply::Hang);
    let round = prober(&world).round("r1", world.at(1_500)).await;
    assert_eq!(world.elapsed(), 1_500);
    assert_eq!(round.observer, ProbeOutcome::Deadline);
    assert!(
        round
            .members
            .iter()
            .all(|member| member.read == ProbeOutcome::Deadline)
    );
    assert!(
        world.requests().iter().all(|request| request.at == 0),
        "nothing is begun when time is up"
    );
}

fn proof(world: &World) -> Proof {
    Proof::new(
        world.edge(),
        MRAP.parse().unwrap(),
        MEMBERS.parse().unwrap(),
        ".mrap-sentinel".to_owned(),
    )
}

/// An access point that answers for each member's canary with this replication status.
fn through(home: Option<&'static str>, standby: Option<&'static str>) -> World {
    World::new(move |request: &Request| {
        let status = if request.path().ends_with("us-east-1") {
            home
        } else {
            standby
        };
        match status {
            Some("") => answer(200, ""),
            Some(status) => answer_with(200, &[("x-amz-replication-status", status)], ""),
            None => answer(404, ""),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_member_with_its_own_original_serves() {
    let both = BTreeSet::from(["us-east-1".parse().unwrap(), "eu-west-1".parse().unwrap()]);
    let member = |region: &str| Serving::Member(region.parse().unwrap());
    for (home, standby, expected) in [
        (
            Some("COMPLETED"),
            Some("REPLICA"),
            Some(member("us-east-1")),
        ),
        (Some("REPLICA"), Some("PENDING"), Some(member("eu-west-1"))),
        (Some("REPLICA"), Some("FAILED"), Some(member("eu-west-1"))),
        (None, Some(""), Some(member("eu-west-1"))),
        (
            Some("COMPLETED"),
            Some("COMPLETED"),
            Some(Serving::Several(both)),
        ),
        (Some("REPLICA"), Some("REPLICA"), None),
        (None, None, None),
    ] {
        let report = proof(&through(home, standby))
            .serving(through(None, None).at(5_000))
            .await;
        match (&report.serving, expected) {
            (Serving::None { detail }, None) => assert!(detail.contains("us-east-1: "), "{detail}"),
            (serving, expected) => assert_eq!(Some(serving.clone()), expected),
        }
        assert_eq!(report.per_key.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn every_proof_has_connections_of_its_own() {
    let world = through(Some("COMPLETED"), None);
    let proof = proof(&world);
    proof.serving(world.at(5_000)).await;
    proof.serving(world.at(5_000)).await;
    let pools: Vec<usize> = world
        .requests()
        .iter()
        .map(|request| request.pool)
        .collect();
    assert_eq!(pools, [1, 1, 2, 2], "never the long-lived pool 0");
}

#[tokio::test(start_paused = true)]
async fn a_silent_data_plane_is_unknown_in_time() {
    let world = World::new(|_| Reply::Hang);
    let report = proof(&world).serving(world.at(2_000)).await;
    assert_eq!(world.elapsed(), 2_000);
    assert!(matches!(report.serving, Serving::None { .. }));
    assert_eq!(report.per_key[0].1, "no answer in time");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_scope_of_a_rule_has_a_replication_status() {
    for (status, expected) in [
        (Some("PENDING"), Some(true)),
        (Some("FAILED"), Some(true)),
        (None, Some(false)),
    ] {
        let world = World::new(move |request: &Request| match request.method.as_str() {
            "GET" => {
                let at = ("x-amz-meta-written-at", "2026-11-20T16:59:03.000Z");
                let status = status.map(|status| ("x-amz-replication-status", status));
                let headers: Vec<(&str, &str)> = [at].into_iter().chain(status).collect();
                answer_with(200, &headers, "x")
            }
            _ => answer(200, ""),
        });
        let round = prober(&world).round("r1", world.at(10_000)).await;
        assert_eq!(round.members[0].replicates, expected, "{status:?}");
    }
    let world = World::new(|_| error(500, "InternalError"));
    let round = prober(&world).round("r1", world.at(10_000)).await;
    assert_eq!(round.members[0].replicates, None, "not read");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_canary_is_asked_for_by_its_version() {
    let world = World::new(|request: &Request| match request.method.as_str() {
        "PUT" => answer_with(200, &[("x-amz-version-id", "v1")], ""),
        _ => canary("2026-11-20T16:59:03.000Z"),
    });
    let round = prober(&world).round("r1", world.at(10_000)).await;
    assert_eq!(round.members[0].version.as_deref(), Some("v1"));

    let members: Members = MEMBERS.parse().unwrap();
    let home = members.iter().next().unwrap();
    let status = |status| answer_with(200, &[("x-amz-replication-status", status)], "");
    for (reply, expected) in [
        (status("COMPLETED"), Some(Copying::Completed)),
        (status("COMPLETE"), Some(Copying::Completed)),
        (status("PENDING"), Some(Copying::Pending)),
        (status("FAILED"), Some(Copying::Lost)),
        (answer(200, ""), Some(Copying::Lost)),
        (answer(404, ""), Some(Copying::Lost)),
        (answer(403, ""), None),
        (answer(503, ""), None),
        (Reply::Hang, None),
    ] {
        let told = format!("{reply:?}");
        let world = World::new(move |_| reply.clone());
        let asked = prober(&world).copying(home, "v1", world.at(10_000)).await;
        assert_eq!(asked.ok(), expected, "{told}");
        assert!(world.elapsed() <= 3_000, "{told}");
        let request = &world.requests()[0];
        assert_eq!(request.authority(), "app-use1.s3.us-east-1.amazonaws.com");
        assert!(request.uri.contains("versionId=v1"), "{}", request.uri);
    }
}
