//! Probe verdicts, the observer, and what is remembered from round to round.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::pedantic,
    reason = "a broken assumption must fail the test"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use jiff::Timestamp;
use sentinel_core::evidence::{Evidence, MemberRound, Observer, ProbeOutcome, Round, Verdict};

fn status(status: u16, code: Option<&str>) -> ProbeOutcome {
    ProbeOutcome::Status {
        status,
        code: code.map(str::to_owned),
    }
}

fn connection() -> ProbeOutcome {
    ProbeOutcome::Connection {
        detail: "dns error".to_owned(),
    }
}

#[test]
fn the_table_of_probe_verdicts() {
    use ProbeOutcome::{Deadline, NoCredentials, Success};
    use Verdict::{Bad, Good, Misconfigured, ObserverSick, Throttled};
    let no_credentials = NoCredentials {
        detail: "timed out".to_owned(),
    };
    #[rustfmt::skip]
    let table = [
        (Success, Good),
        (connection(), Bad),
        (Deadline, Bad),
        (status(500, Some("InternalError")), Bad),
        (status(500, None), Bad),
        (status(502, None), Bad),
        (status(503, Some("ServiceUnavailable")), Bad),
        (status(503, None), Bad),
        (status(504, None), Bad),
        (status(503, Some("SlowDown")), Throttled),
        (status(429, None), Throttled),
        (status(429, Some("TooManyRequests")), Throttled),
        (status(403, Some("AccessDenied")), Misconfigured),
        (status(403, None), Misconfigured),
        (status(404, Some("NoSuchBucket")), Misconfigured),
        (status(404, Some("NoSuchKey")), Misconfigured),
        (status(400, Some("KMS.DisabledException")), Misconfigured),
        (status(503, Some("KMS.InternalException")), Misconfigured),
        (status(400, Some("InvalidRequest")), Misconfigured),
        (status(301, Some("PermanentRedirect")), Misconfigured),
        (status(501, Some("NotImplemented")), Misconfigured),
        (status(505, None), Misconfigured),
        (status(403, Some("RequestTimeTooSkewed")), ObserverSick),
        (status(400, Some("ExpiredToken")), ObserverSick),
        (status(403, Some("InvalidAccessKeyId")), ObserverSick),
        (no_credentials, ObserverSick),
    ];
    for (outcome, verdict) in table {
        assert_eq!(outcome.verdict(), verdict, "{outcome}");
        assert_eq!(verdict.is_healthy_target(), verdict == Good);
    }
}

/// One member of a round.
fn member(name: &str, write: ProbeOutcome, read: ProbeOutcome) -> MemberRound {
    MemberRound {
        region: region(name),
        write,
        read,
        seen: BTreeMap::new(),
        refused: BTreeSet::new(),
        absent: BTreeSet::new(),
        latency_millis: 42,
        replicates: Some(true),
        version: None,
    }
}

fn well(name: &str) -> MemberRound {
    member(name, ProbeOutcome::Success, ProbeOutcome::Success)
}

fn dead(name: &str) -> MemberRound {
    member(name, connection(), ProbeOutcome::Deadline)
}

fn round(at: Timestamp, members: Vec<MemberRound>) -> Round {
    Round {
        at,
        observer: ProbeOutcome::Success,
        members,
    }
}

const GAP: i64 = 90;

fn after(previous: Option<&Evidence>, round: &Round) -> Evidence {
    Evidence::after(previous, round, secs(GAP))
}

#[test]
fn the_worse_of_write_and_read_speaks() {
    use ProbeOutcome::{Deadline, Success};
    use Verdict::{Bad, Good, Misconfigured, Throttled};
    let denied = || status(403, Some("AccessDenied"));
    let slow = || status(503, Some("SlowDown"));
    for (write, read, verdict, says) in [
        (Success, Success, Good, "canary written and read in 42 ms"),
        (Success, Deadline, Bad, "canary read: no answer in time"),
        (Deadline, Success, Bad, "canary write: no answer in time"),
        (denied(), Deadline, Bad, "canary read: no answer in time"),
        (
            denied(),
            Success,
            Misconfigured,
            "canary write: HTTP 403 AccessDenied",
        ),
        (Success, slow(), Throttled, "canary read: HTTP 503 SlowDown"),
        (
            slow(),
            Success,
            Throttled,
            "canary write: HTTP 503 SlowDown",
        ),
    ] {
        let evidence = after(None, &round(now(), vec![member(A, write, read), well(B)]));
        assert_eq!(evidence.verdict(&region(A)), verdict, "{says}");
        assert_eq!(evidence.member(&region(A)).unwrap().detail, says);
    }
}

#[test]
fn the_observer_is_sick_only_for_its_own_reasons() {
    let expired = || status(403, Some("ExpiredToken"));
    let denied = || status(403, Some("AccessDenied"));
    /// The observer's own S3, the members, and whether it is believed.
    type Case = (&'static str, ProbeOutcome, Vec<MemberRound>, bool);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("all is well", ProbeOutcome::Success, vec![well(A), well(B)], true),
        ("its own S3 is down", connection(), vec![well(A), well(B)], false),
        ("its own S3 fails", status(500, None), vec![well(A), well(B)], false),
        ("its own S3 throttles", status(503, Some("SlowDown")), vec![well(A), well(B)], true),
        ("its own S3 refuses", denied(), vec![well(A), well(B)], true),
        ("its own credentials", expired(), vec![well(A), well(B)], false),
        ("its clock", ProbeOutcome::Success, vec![well(A), member(B, status(403, Some("RequestTimeTooSkewed")), ProbeOutcome::Success)], false),
        ("one member is unreachable", ProbeOutcome::Success, vec![dead(A), well(B)], true),
        ("every member is unreachable", ProbeOutcome::Success, vec![dead(A), dead(B)], false),
        ("one of the unreachable answers with an error", ProbeOutcome::Success, vec![dead(A), member(B, status(503, None), ProbeOutcome::Deadline)], true),
        ("every member answers with an error", ProbeOutcome::Success, vec![member(A, status(500, None), status(500, None)), member(B, status(503, None), status(503, None))], true),
    ];
    for (what, observer, members, believed) in cases {
        let seen = Round {
            observer,
            ..round(now(), members)
        };
        let evidence = after(None, &seen);
        assert_eq!(evidence.observer == Observer::Well, believed, "{what}");
        let believes = evidence.verdict(&region(A)) != Verdict::ObserverSick;
        assert_eq!(believes, believed, "{what}");
    }
}

#[test]
fn a_run_survives_only_rounds_without_a_gap() {
    let first = after(None, &round(ago(300), vec![well(A), dead(B)]));
    let since = |evidence: &Evidence, name| evidence.member(&region(name)).unwrap().since;
    assert_eq!(since(&first, B), ago(300));
    let next = after(Some(&first), &round(ago(300 - GAP), vec![well(A), dead(B)]));
    assert_eq!(since(&next, A), ago(300));
    assert_eq!(since(&next, B), ago(300));
    let silence = after(
        Some(&first),
        &round(ago(300 - GAP - 1), vec![well(A), dead(B)]),
    );
    assert_eq!(since(&silence, A), ago(300 - GAP - 1));
    let other = after(Some(&next), &round(ago(200), vec![dead(A), well(B)]));
    assert_eq!(since(&other, A), ago(200));
    assert_eq!(since(&other, B), ago(200));
}

/// While the observer was sick nobody knows what was bad: such rounds are no part of a run.
#[test]
fn a_run_does_not_begin_while_the_observer_is_sick() {
    let good = after(None, &round(ago(120), vec![well(A), well(B)]));
    let blind = after(Some(&good), &round(ago(60), vec![dead(A), dead(B)]));
    assert!(matches!(blind.observer, Observer::Sick { .. }));
    let sees = after(Some(&blind), &round(now(), vec![dead(A), well(B)]));
    assert_eq!(sees.verdict(&region(A)), Verdict::Bad);
    assert_eq!(sees.member(&region(A)).unwrap().since, now());
}

#[test]
fn exposure_is_what_may_be_missing() {
    let canary = |name: &str, at: Timestamp| BTreeMap::from([(region(name), at)]);
    let (a, b) = (region(A), region(B));
    let reads = |mut member: MemberRound, seen: BTreeMap<_, _>| {
        member.seen = seen;
        member
    };
    let first = after(None, &round(ago(300), vec![well(A), well(B)]));
    assert_eq!(first.exposure(&a, &b), None, "never measured");
    let second = after(
        Some(&first),
        &round(ago(290), vec![well(A), reads(well(B), canary(A, ago(300)))]),
    );
    assert_eq!(second.exposure(&a, &b), Some(secs(10)));
    assert_eq!(second.exposure(&b, &a), None);
    // Home turns bad: what was written stands still, however long it lasts.
    let mut evidence = second.clone();
    for seconds in [280, 200, 100, 0] {
        evidence = after(
            Some(&evidence),
            &round(
                ago(seconds),
                vec![dead(A), reads(well(B), canary(A, ago(300)))],
            ),
        );
        assert_eq!(evidence.exposure(&a, &b), Some(secs(10)), "{seconds}");
    }
    // An older canary, or none, takes back nothing that was seen; a late arrival counts.
    let older = after(
        Some(&evidence),
        &round(
            later(10),
            vec![dead(A), reads(well(B), canary(A, ago(900)))],
        ),
    );
    assert_eq!(older.exposure(&a, &b), Some(secs(10)));
    let arrived = after(
        Some(&older),
        &round(
            later(20),
            vec![dead(A), reads(well(B), canary(A, ago(290)))],
        ),
    );
    assert_eq!(arrived.exposure(&a, &b), Some(secs(0)));
    // A canary that is newer than the last write that was confirmed is no negative loss.
    let ahead = after(
        Some(&arrived),
        &round(
            later(30),
            vec![dead(A), reads(well(B), canary(A, ago(280)))],
        ),
    );
    assert_eq!(ahead.exposure(&a, &b), Some(secs(0)));
}

/// A Region that still takes writes but fails reads is bad too: the exposure is frozen all the
/// same, or a long outage would block its own failover.
#[test]
fn exposure_is_frozen_when_only_reads_fail() {
    let mut evidence = after(None, &round(ago(2000), vec![well(A), well(B)]));
    let mut seen = well(B);
    seen.seen.insert(region(A), ago(2000));
    for seconds in [1990, 1900, 1000, 0] {
        let half = member(A, ProbeOutcome::Success, status(503, None));
        evidence = after(
            Some(&evidence),
            &round(ago(seconds), vec![half, seen.clone()]),
        );
        let exposure = evidence.exposure(&region(A), &region(B));
        assert_eq!(exposure, Some(secs(0)), "{seconds}");
    }
}

#[test]
fn verdicts_of_members_that_nobody_probed_are_unknown() {
    let evidence = after(None, &round(now(), vec![well(A), well(B)]));
    assert_eq!(evidence.verdict(&region(C)), Verdict::Unknown);
    assert_eq!(evidence.exposure(&region(A), &region(C)), None);
}
