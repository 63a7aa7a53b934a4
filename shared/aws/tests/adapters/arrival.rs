//! Looking for a version: what each answer says of it.

use sentinel_aws::arrival::{Arrivals, Sighting, Status};

use crate::wire::{Reply, World, answer, answer_with, error};

async fn look(reply: Reply) -> (World, Sighting) {
    let world = World::new(move |_| reply.clone());
    let arrivals = Arrivals::new(world.edge());
    let region = "eu-west-1".parse().unwrap();
    let bucket = "app-euw1".parse().unwrap();
    let seen = arrivals.look(&region, &bucket, "a b+c", "null").await;
    (world, seen)
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_became_of_the_version() {
    for (header, expected) in [
        ("REPLICA", Some(Status::Replica)),
        ("COMPLETED", Some(Status::Completed)),
        ("COMPLETE", Some(Status::Completed)),
        ("PENDING", Some(Status::Pending)),
        ("FAILED", Some(Status::Failed)),
        ("something new", None),
    ] {
        let reply = answer_with(200, &[("x-amz-replication-status", header)], "");
        let (world, seen) = look(reply).await;
        assert_eq!(seen, Sighting::There(expected), "{header}");
        let [request] = &world.requests()[..] else {
            panic!("one request")
        };
        assert_eq!(request.method, "HEAD");
        assert_eq!(request.region(), "eu-west-1");
        assert!(
            request.path().contains("versionId=null"),
            "always with a version: {}",
            request.path()
        );
    }
    for (status, expected) in [(404, Sighting::Absent), (405, Sighting::DeleteMarker)] {
        assert_eq!(look(answer(status, "")).await.1, expected, "{status}");
    }
    let (_, refused) = look(answer(403, "")).await;
    assert!(matches!(refused, Sighting::Refused(_)), "{refused:?}");
    for reply in [answer(500, ""), answer(503, ""), Reply::Hang, Reply::Refuse] {
        let (_, unknown) = look(reply.clone()).await;
        assert!(
            matches!(unknown, Sighting::Unknown(_)),
            "{reply:?}: {unknown:?}"
        );
    }
}

/// An object that is encrypted with a key of the client's own, or expired credentials.
#[tokio::test(start_paused = true)]
async fn regression_a_bad_request_is_no_absence() {
    for code in ["InvalidRequest", "ExpiredToken"] {
        let (_, seen) = look(error(400, code)).await;
        assert!(matches!(seen, Sighting::Unknown(_)), "{code}: {seen:?}");
    }
}
