//! Files of the ledger: what is sent, what a repetition meets, and how a listing goes on.

use sentinel_aws::ledger::{FileError, Files, Listed, Page, Piece, Written};

use crate::wire::{Reply, Request, World, answer, answer_with, error};

const KEY: &str = "ledger/open/c003dd0a17ae36b6/1-2-3-4.jsonl";

fn world(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (World, Files) {
    let world = World::new(script);
    let files = Files::of_state(world.edge(), "sentinel-state".parse().unwrap());
    (world, files)
}

fn methods(world: &World) -> String {
    let methods: Vec<String> = world.requests().into_iter().map(|r| r.method).collect();
    methods.join(" ")
}

#[tokio::test(start_paused = true)]
async fn a_file_is_written_once() {
    let (world_, files) = world(|_| answer_with(200, &[("etag", "\"v1\"")], ""));
    assert_eq!(
        files.append(KEY, b"{}\n[]\n".to_vec()).await,
        Ok(Written::New)
    );
    let [request] = &world_.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.method, "PUT");
    assert_eq!(request.region(), "eu-central-1", "the control Region");
    assert_eq!(request.header("if-none-match"), Some("*"));
    assert_eq!(request.body, "{}\n[]\n");
    assert!(
        request.header("x-amz-checksum-crc32").is_some(),
        "S3 checks what arrives"
    );

    let (world_, files) = world(|_| error(412, "PreconditionFailed"));
    assert_eq!(files.append(KEY, vec![1]).await, Ok(Written::AlreadyThere));
    assert_eq!(world_.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_meets_its_own_file() {
    let (world_, files) = world(|request| match request.at {
        0 => Reply::Hang,
        _ => error(412, "PreconditionFailed"),
    });
    assert_eq!(
        files.append(KEY, b"abc".to_vec()).await,
        Ok(Written::AlreadyThere)
    );
    let requests = world_.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_another_is_tried_again() {
    let (world_, files) = world(|request| match request.at {
        0 => error(409, "ConditionalRequestConflict"),
        _ => answer(200, ""),
    });
    assert_eq!(files.append(KEY, b"abc".to_vec()).await, Ok(Written::New));
    let requests = world_.requests();
    assert_eq!(requests[1].body, "abc");

    let (world_, files) = world(|_| error(409, "ConditionalRequestConflict"));
    let result = files.append(KEY, vec![1]).await;
    assert!(
        matches!(result, Err(FileError::Unreachable { .. })),
        "{result:?}"
    );
    assert_eq!(world_.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_failures_are_told_apart() {
    for (reply, says) in [
        (error(403, "AccessDenied"), "S3 refuses"),
        (error(400, "KMS.DisabledException"), "S3 refuses"),
        (error(404, "NoSuchBucket"), "S3 refuses"),
        (error(503, "SlowDown"), "S3 cannot be reached"),
        (error(500, "InternalError"), "S3 cannot be reached"),
        (Reply::Refuse, "S3 cannot be reached"),
        (Reply::Hang, "S3 cannot be reached"),
    ] {
        let scripted = reply.clone();
        let (world, files) = world(move |_| scripted.clone());
        let errors = [
            files.append(KEY, vec![1]).await.expect_err(says),
            files.list("ledger/", None).await.expect_err(says),
            files.read(KEY, 0..9).await.expect_err(says),
            files.delete(&[KEY.to_owned()]).await.expect_err(says),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains(says), "{reply:?}: {text}");
            assert!(text.starts_with("sentinel-state/ledger/"), "{text}");
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(!text.contains(&cause), "{text} repeats {cause}");
        }
        assert!(world.elapsed() <= 4 * 25_000, "{}", world.elapsed());
    }
}

fn listing(files: &[(&str, u64)], goes_on: bool) -> Reply {
    let contents: Vec<String> = files
        .iter()
        .map(|(key, size)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{size}</Size>\
                 <LastModified>2026-11-20T16:59:03.250Z</LastModified></Contents>"
            )
        })
        .collect();
    answer(
        200,
        format!(
            "<ListBucketResult>{}<IsTruncated>{goes_on}</IsTruncated></ListBucketResult>",
            contents.concat()
        ),
    )
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_on_after_its_last_key() {
    let (world, files) = world(|request| {
        if request.path().contains("start-after") {
            listing(&[("ledger/open/c", 3)], false)
        } else {
            listing(&[("ledger/open/a", 1), ("ledger/open/b", 2)], true)
        }
    });
    let first = files.list("ledger/open/", None).await.unwrap();
    let listed = |key: &str, size| Listed {
        key: key.to_owned(),
        size,
        modified: Some("2026-11-20T16:59:03.25Z".parse().unwrap()),
    };
    assert_eq!(
        first,
        Page {
            files: vec![listed("ledger/open/a", 1), listed("ledger/open/b", 2)],
            next: Some("ledger/open/b".to_owned()),
        }
    );
    let last = files
        .list("ledger/open/", first.next.as_deref())
        .await
        .unwrap();
    assert_eq!(
        last,
        Page {
            files: vec![listed("ledger/open/c", 3)],
            next: None
        }
    );
    let requests = world.requests();
    assert!(
        requests[1].path().contains("start-after=ledger%2Fopen%2Fb"),
        "{}",
        requests[1].path()
    );
    assert!(
        requests
            .iter()
            .all(|r| r.path().contains("prefix=ledger%2Fopen%2F"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_file_is_read() {
    let (world_, files) = world(|_| {
        answer_with(
            206,
            &[("etag", "\"v1\""), ("content-range", "bytes 4-6/42")],
            "efg",
        )
    });
    assert_eq!(
        files.read(KEY, 4..7).await,
        Ok(Piece {
            bytes: b"efg".to_vec(),
            total: 42
        })
    );
    assert_eq!(world_.requests()[0].header("range"), Some("bytes=4-6"));

    // A server that knows no ranges gives everything, and says how much that is.
    let (_, files) = world(|_| answer_with(200, &[("content-length", "3")], "abc"));
    assert_eq!(files.read(KEY, 0..100).await.unwrap().total, 3);

    for (status, code, expected) in [
        (404, "NoSuchKey", "does not exist"),
        (416, "InvalidRange", "ends before"),
    ] {
        let (world, files) = world(move |_| error(status, code));
        let error = files.read(KEY, 100..200).await.expect_err(code);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains(KEY), "{error}");
        assert_eq!(methods(&world), "GET", "{code} is not tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_used_is_asked_for_again() {
    let (world_, files) = world(|request| match request.at {
        0 => answer(206, "efg"),
        _ => answer_with(206, &[("content-range", "bytes 4-6/42")], "efg"),
    });
    assert!(files.read(KEY, 4..7).await.is_ok());
    assert_eq!(methods(&world_), "GET GET");
}

#[tokio::test(start_paused = true)]
async fn files_are_deleted_in_batches() {
    let keys: Vec<String> = (0..2001).map(|n| format!("ledger/open/g/{n:05}")).collect();
    let (world_, files) = world(|_| answer(200, "<DeleteResult/>"));
    assert_eq!(files.delete(&keys).await, Ok(()));
    let requests = world_.requests();
    assert_eq!(requests.len(), 3);
    let counts: Vec<usize> = requests
        .iter()
        .map(|request| request.body.matches("<Key>").count())
        .collect();
    assert_eq!(counts, [1000, 1000, 1]);
    assert!(requests[0].path().contains("?delete"));
    assert!(requests[0].body.contains("<Quiet>true</Quiet>"));
    assert!(requests[2].body.contains("<Key>ledger/open/g/02000</Key>"));

    let (world_, files) = world(|_| answer(200, ""));
    assert_eq!(files.delete(&[]).await, Ok(()));
    assert_eq!(world_.requests().len(), 0, "nothing is asked for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_success_may_hide_failures() {
    let keys: Vec<String> = (0..1500).map(|n| format!("ledger/open/g/{n:05}")).collect();
    let (world, files) = world(|request| {
        let failed = request.body.matches("<Key>").count() / 500;
        let errors: Vec<String> = (0..failed)
            .map(|n| {
                format!(
                    "<Error><Key>ledger/open/g/{n}</Key><Code>AccessDenied</Code>\
                     <Message>Access Denied</Message></Error>"
                )
            })
            .collect();
        answer(
            200,
            format!("<DeleteResult>{}</DeleteResult>", errors.concat()),
        )
    });
    let error = files
        .delete(&keys)
        .await
        .expect_err("three were not deleted");
    assert_eq!(
        error.to_string(),
        "3 files of sentinel-state could not be deleted, among them ledger/open/g/0 \
         (AccessDenied: Access Denied)"
    );
    assert_eq!(
        world.requests().len(),
        2,
        "the others are tried all the same"
    );
}
