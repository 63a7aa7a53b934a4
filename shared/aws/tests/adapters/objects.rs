//! Uploads of manifests: encryption, parts, and answers that were lost.

use sentinel_aws::ledger::FileError;
use sentinel_aws::objects::{UploadError, UploadId, Uploads};

use crate::wire::{Reply, Request, World, answer, answer_with, error};

const KEY: &str = "mrap-sentinel/a.mrap/j/manifest.csv";

fn world(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (World, Uploads) {
    let world = World::new(script);
    let region = "ap-northeast-1".parse().unwrap();
    let uploads = Uploads::new(world.edge(), region, "work-apn1".parse().unwrap());
    (world, uploads)
}

fn upload() -> UploadId {
    UploadId("an upload/id".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_manifest_is_never_encrypted_with_kms() {
    let (world, uploads) = world(|request| match request.method.as_str() {
        "PUT" => answer_with(200, &[("etag", "\"e1\"")], ""),
        _ => answer(
            200,
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        ),
    });
    let etag = uploads.put(KEY, b"a,b,c\n".to_vec()).await.unwrap();
    assert_eq!(etag, "e1", "without quotes");
    assert_eq!(uploads.begin(KEY).await, Ok(UploadId("u".to_owned())));
    for request in world.requests() {
        assert_eq!(
            request.header("x-amz-server-side-encryption"),
            Some("AES256")
        );
        assert_eq!(request.region(), "ap-northeast-1", "the source's Region");
    }
}

#[tokio::test(start_paused = true)]
async fn regression_a_part_states_no_checksum_that_the_upload_did_not_announce() {
    let (world, uploads) = world(|_| answer_with(200, &[("etag", "\"p1\"")], ""));
    let etag = uploads.part(KEY, &upload(), 7, b"part".to_vec()).await;
    assert_eq!(etag, Ok("p1".to_owned()));
    let [request] = &world.requests()[..] else {
        panic!("one request")
    };
    assert!(request.path().contains("partNumber=7"));
    let names = request.headers.iter().map(|(name, _)| name.as_str());
    let stated = names.filter(|name| name.contains("checksum") || *name == "x-amz-trailer");
    assert_eq!(stated.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(request.body, "part", "no chunks");
}

#[tokio::test(start_paused = true)]
async fn a_completion_whose_answer_was_lost_is_recognised() {
    let parts = ["p1".to_owned(), "p2".to_owned()];
    for (size, expected) in [("42", true), ("41", false)] {
        let (_, uploads) = world(move |request| match request.method.as_str() {
            "HEAD" => answer_with(
                200,
                &[("etag", "\"whole-2\""), ("content-length", size)],
                "",
            ),
            _ => error(404, "NoSuchUpload"),
        });
        let completed = uploads.complete(KEY, &upload(), &parts, 42).await;
        if expected {
            assert_eq!(completed, Ok("whole-2".to_owned()));
        } else {
            assert!(matches!(completed, Err(UploadError::Gone { .. })));
        }
    }
    let (_, uploads) = world(|request| match request.method.as_str() {
        "HEAD" => answer(404, ""),
        _ => error(404, "NoSuchUpload"),
    });
    let completed = uploads.complete(KEY, &upload(), &parts, 42).await;
    assert!(matches!(completed, Err(UploadError::Gone { .. })));

    let (world, uploads) = world(|_| {
        answer(
            200,
            "<CompleteMultipartUploadResult><ETag>\"whole-2\"</ETag></CompleteMultipartUploadResult>",
        )
    });
    let completed = uploads.complete(KEY, &upload(), &parts, 42).await;
    assert_eq!(completed, Ok("whole-2".to_owned()));
    let body = &world.requests()[0].body;
    let (first, second) = (body.find("p1").unwrap(), body.find("p2").unwrap());
    assert!(first < second, "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_gone_is_told_from_one_that_fails() {
    let (_, uploads) = world(|_| error(404, "NoSuchUpload"));
    let part = uploads.part(KEY, &upload(), 1, vec![1]).await;
    assert!(matches!(part, Err(UploadError::Gone { .. })), "{part:?}");
    assert_eq!(uploads.abort(KEY, &upload()).await, Ok(()));

    let (_, uploads) = world(|_| error(403, "AccessDenied"));
    let part = uploads.part(KEY, &upload(), 1, vec![1]).await;
    let denied = |error: &UploadError| matches!(error, UploadError::File(FileError::Denied { .. }));
    assert!(part.as_ref().is_err_and(denied), "{part:?}");

    let (_, uploads) = world(|_| error(503, "SlowDown"));
    let put = uploads.put(KEY, vec![1]).await;
    assert!(matches!(put, Err(FileError::Unreachable { .. })), "{put:?}");
}
