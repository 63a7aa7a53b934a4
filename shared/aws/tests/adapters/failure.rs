//! The table of failures: what happened on the wire, and what it says of the member that was probed.

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use sentinel_aws::edge::Edge;
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_aws::failure::{Failure, failure_of, outcome_of};
use sentinel_aws::limits::Purpose;
use sentinel_core::evidence::{ProbeOutcome, Verdict};
use std::time::Duration;

use crate::wire::{Reply, World, after, answer, error};

fn status(status: u16, code: Option<&str>) -> ProbeOutcome {
    ProbeOutcome::Status {
        status,
        code: code.map(str::to_owned),
    }
}

async fn probe(edge: &Edge) -> Result<(), (ProbeOutcome, Failure)> {
    let region = "eu-west-1".parse().unwrap();
    let request = edge
        .s3(&region, Purpose::Probe(Duration::from_secs(3)))
        .get_object()
        .bucket("app-euw1")
        .key("k");
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err((outcome_of(&error), failure_of(&error))),
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_their_verdicts() {
    for (reply, outcome, verdict, ambiguous) in [
        (
            error(500, "InternalError"),
            status(500, Some("InternalError")),
            Verdict::Bad,
            true,
        ),
        (
            answer(502, "<html>bad gateway</html>"),
            status(502, None),
            Verdict::Bad,
            true,
        ),
        (
            error(503, "ServiceUnavailable"),
            status(503, Some("ServiceUnavailable")),
            Verdict::Bad,
            true,
        ),
        (
            error(503, "SlowDown"),
            status(503, Some("SlowDown")),
            Verdict::Throttled,
            true,
        ),
        (answer(504, ""), status(504, None), Verdict::Bad, true),
        (
            error(403, "AccessDenied"),
            status(403, Some("AccessDenied")),
            Verdict::Misconfigured,
            false,
        ),
        (
            error(404, "NoSuchBucket"),
            status(404, Some("NoSuchBucket")),
            Verdict::Misconfigured,
            false,
        ),
        (
            error(400, "KMS.DisabledException"),
            status(400, Some("KMS.DisabledException")),
            Verdict::Misconfigured,
            false,
        ),
        (
            error(403, "RequestTimeTooSkewed"),
            status(403, Some("RequestTimeTooSkewed")),
            Verdict::ObserverSick,
            false,
        ),
        (
            error(400, "ExpiredToken"),
            status(400, Some("ExpiredToken")),
            Verdict::ObserverSick,
            false,
        ),
        (Reply::Hang, ProbeOutcome::Deadline, Verdict::Bad, true),
        (
            after(3001, answer(200, "")),
            ProbeOutcome::Deadline,
            Verdict::Bad,
            true,
        ),
    ] {
        let said = format!("{reply:?}");
        let world = World::new(move |_| reply.clone());
        let (found, failure) = probe(&world.edge()).await.unwrap_err();
        assert_eq!(found, outcome, "{said}");
        assert_eq!(found.verdict(), verdict, "{said}");
        assert_eq!(failure.is_ambiguous(), ambiguous, "{said}");
        assert_eq!(world.requests().len(), 1, "probes are not retried: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_the_connections() {
    let world = World::new(|_| Reply::Refuse);
    let (found, failure) = probe(&world.edge()).await.unwrap_err();
    assert!(
        matches!(&found, ProbeOutcome::Connection { detail } if detail.contains("refused")),
        "{found}"
    );
    assert!(failure.is_ambiguous());
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no role")))
    }
}

#[tokio::test(start_paused = true)]
async fn failing_credentials_are_the_observers() {
    let world = World::new(|_| answer(200, ""));
    let mut parts = world.parts(EndpointOverrides::default());
    parts.credentials = SharedCredentialsProvider::new(NoCredentials);
    let (found, failure) = probe(&Edge::new(parts)).await.unwrap_err();
    assert_eq!(found.verdict(), Verdict::ObserverSick, "{found}");
    assert!(matches!(failure, Failure::Client { .. }));
    assert!(world.requests().is_empty());
}
