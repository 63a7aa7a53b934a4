//! S3 through the real SDK: versions, conditions, listings, multipart, permissions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use common::{AWAY, HOME, config, get, put, refusal, s3, s3_as, secs, start};
use simulator::Versioning;
use simulator::truth::WriteKind;

#[tokio::test(start_paused = true)]
async fn an_object_reads_back_with_everything_it_was_written_with() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let written = client
        .put_object()
        .bucket("state")
        .key("a b/ü+&.json")
        .metadata("round", "7")
        .content_type("application/json")
        .body(ByteStream::from_static(b"{}"))
        .send()
        .await
        .unwrap();
    let read = client.get_object().bucket("state").key("a b/ü+&.json");
    let read = read.send().await.unwrap();
    assert_eq!(read.e_tag(), written.e_tag());
    assert_eq!(read.version_id(), written.version_id());
    assert_eq!(read.content_type(), Some("application/json"));
    assert_eq!(read.content_length(), Some(2));
    assert_eq!(read.metadata().unwrap()["round"], "7");
    assert_eq!(
        read.last_modified().unwrap().secs(),
        sim.with(|w| w.calendar(w.now())).as_second()
    );
    assert_eq!(read.body.collect().await.unwrap().to_vec(), b"{}");
    let head = client.head_object().bucket("state").key("a b/ü+&.json");
    let head = head.send().await.unwrap();
    assert_eq!(head.e_tag(), written.e_tag());
    assert_eq!(head.content_length(), Some(2));
    // MD5 of "{}", as S3 computes it for a single part.
    assert_eq!(
        written.e_tag(),
        Some("\"99914b932bd37a50b983c5e7c90ae93b\"")
    );
    let truth = sim.with(|world| world.writes().to_vec());
    assert_eq!(truth.len(), 1);
    assert!(truth[0].acknowledged_at.unwrap() > truth[0].at);
}

#[tokio::test(start_paused = true)]
async fn conditions_look_at_the_current_version() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let put_if = async |key: &str, if_match: Option<&str>, if_none_match: Option<&str>| {
        let put = client.put_object().bucket("state").key(key);
        let put = put.body(ByteStream::from_static(b"x"));
        let put = put.set_if_match(if_match.map(str::to_owned));
        let put = put.set_if_none_match(if_none_match.map(str::to_owned));
        refusal(put.send().await)
    };
    let etag = put(&client, "state", "there", "old").await;
    put(&client, "state", "marked", "old").await;
    let delete = client.delete_object().bucket("state").key("marked");
    let marker = delete.send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    let ok = (200, String::new());
    let failed = (412, "PreconditionFailed".to_owned());
    let missing = (404, "NoSuchKey".to_owned());
    assert_eq!(put_if("there", None, Some("*")).await, failed);
    assert_eq!(put_if("there", Some("\"other\""), None).await, failed);
    assert_eq!(put_if("missing", Some(&etag), None).await, missing);
    assert_eq!(put_if("marked", Some(&etag), None).await, missing);
    assert_eq!(put_if("there", None, Some("\"x\"")).await.0, 501);
    assert_eq!(put_if("there", Some(&etag), None).await, ok);
    assert_eq!(
        put_if("there", Some(&etag), None).await,
        failed,
        "the tag is spent"
    );
    assert_eq!(put_if("new", None, Some("*")).await, ok);
    assert_eq!(
        put_if("marked", None, Some("*")).await,
        ok,
        "a delete marker is no object"
    );
}

#[tokio::test(start_paused = true)]
async fn conditional_deletes_look_at_the_current_version() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let delete_if = async |key: &str, tag: &str| {
        let delete = client.delete_object().bucket("state").key(key);
        refusal(delete.if_match(tag).send().await)
    };
    let etag = put(&client, "state", "k", "v").await;
    assert_eq!(delete_if("missing", "*").await.0, 404);
    assert_eq!(delete_if("k", "\"other\"").await.0, 412);
    assert_eq!(delete_if("k", &etag).await.0, 200);
    assert_eq!(
        delete_if("k", "*").await.0,
        412,
        "the current version is a delete marker"
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_two_simultaneous_writers_wins() {
    let sim = start(config(1));
    let one = s3(&sim, "one", "us-east-2");
    let two = s3(&sim, "two", "us-east-2");
    let etag = put(&one, "state", "k", "0").await;
    let write = |client: &aws_sdk_s3::Client| {
        let put = client.put_object().bucket("state").key("k").if_match(&etag);
        put.body(ByteStream::from_static(b"1")).send()
    };
    let (first, second) = tokio::join!(write(&one), write(&two));
    let statuses = [refusal(first).0, refusal(second).0];
    assert!(
        statuses == [200, 412] || statuses == [412, 200],
        "{statuses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_overlaps_a_delete_is_a_conflict() {
    let sim = start(config(1));
    let client = s3(&sim, "one", "us-east-2");
    put(&client, "state", "k", "0").await;
    sim.with(|world| world.delete_object_as_person("state", "k"));
    let write = async || {
        let put = client
            .put_object()
            .bucket("state")
            .key("k")
            .if_none_match("*");
        refusal(put.send().await)
    };
    assert_eq!(
        write().await,
        (409, "ConditionalRequestConflict".to_owned())
    );
    assert_eq!(write().await.0, 200, "trying again helps");
}

#[tokio::test(start_paused = true)]
async fn versions_and_delete_markers() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    put(&client, "state", "k", "one").await;
    put(&client, "state", "k", "two").await;
    client
        .delete_object()
        .bucket("state")
        .key("k")
        .send()
        .await
        .unwrap();
    let gone = client.get_object().bucket("state").key("k").send().await;
    let headers = gone
        .as_ref()
        .unwrap_err()
        .raw_response()
        .unwrap()
        .headers()
        .clone();
    assert_eq!(headers.get("x-amz-delete-marker"), Some("true"));
    assert_eq!(refusal(gone), (404, "NoSuchKey".to_owned()));
    let list = client.list_object_versions().bucket("state").prefix("k");
    let list = list.send().await.unwrap();
    assert_eq!(list.versions().len(), 2);
    assert_eq!(list.delete_markers().len(), 1);
    assert_eq!(list.delete_markers()[0].is_latest(), Some(true));
    let oldest = list.versions()[1].version_id().unwrap();
    let old = client
        .get_object()
        .bucket("state")
        .key("k")
        .version_id(oldest);
    let old = old.send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(old.to_vec(), b"one");
    let marker = list.delete_markers()[0].version_id().unwrap();
    let marker_read = client
        .get_object()
        .bucket("state")
        .key("k")
        .version_id(marker);
    assert_eq!(refusal(marker_read.send().await).0, 405);
    let undelete = client
        .delete_object()
        .bucket("state")
        .key("k")
        .version_id(marker);
    undelete.send().await.unwrap();
    assert_eq!(get(&client, "state", "k").await, "two");
    let kinds = sim.with(|w| {
        w.writes()
            .iter()
            .map(|write| write.kind)
            .collect::<Vec<_>>()
    });
    let expected = [
        WriteKind::Put,
        WriteKind::Put,
        WriteKind::DeleteMarker,
        WriteKind::DeleteVersion,
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test(start_paused = true)]
async fn versioning_states_differ() {
    let world = config(1)
        .bucket_with("plain", "us-east-2", Versioning::Unversioned)
        .bucket_with("paused", "us-east-2", Versioning::Suspended);
    let sim = start(world);
    let client = s3(&sim, "app", "us-east-2");
    for (bucket, status, versions) in [
        ("state", Some("Enabled"), 2),
        ("paused", Some("Suspended"), 1),
        ("plain", None, 1),
    ] {
        put(&client, bucket, "k", "1").await;
        put(&client, bucket, "k", "2").await;
        let versioning = client
            .get_bucket_versioning()
            .bucket(bucket)
            .send()
            .await
            .unwrap();
        assert_eq!(
            versioning
                .status()
                .map(aws_sdk_s3::types::BucketVersioningStatus::as_str),
            status,
            "{bucket}"
        );
        assert_eq!(
            sim.with(|w| w.versions(bucket, "k").len()),
            versions,
            "{bucket}"
        );
        client
            .delete_object()
            .bucket(bucket)
            .key("k")
            .send()
            .await
            .unwrap();
        assert!(sim.with(|w| w.object(bucket, "k").is_none()), "{bucket}");
    }
    assert!(sim.with(|w| w.keys("plain").is_empty()));
}

#[tokio::test(start_paused = true)]
async fn listings_are_paged() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    for number in 0..25 {
        put(&client, "state", &format!("p/{number:02}"), "x").await;
    }
    put(&client, "state", "q/1", "x").await;
    let mut keys = Vec::new();
    let pages = client
        .list_objects_v2()
        .bucket("state")
        .prefix("p/")
        .max_keys(10);
    let mut pages = pages.into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += 1;
        keys.extend(
            page.unwrap()
                .contents()
                .iter()
                .map(|o| o.key().unwrap().to_owned()),
        );
    }
    assert_eq!(count, 3);
    let expected: Vec<String> = (0..25).map(|number| format!("p/{number:02}")).collect();
    assert_eq!(keys, expected);
    let rolled = client
        .list_objects_v2()
        .bucket("state")
        .delimiter("/")
        .send()
        .await
        .unwrap();
    let prefixes: Vec<_> = rolled
        .common_prefixes()
        .iter()
        .map(|p| p.prefix().unwrap())
        .collect();
    assert_eq!(prefixes, ["p/", "q/"]);
    let mut marker = (None, None);
    let mut versions = 0;
    loop {
        let list = client.list_object_versions().bucket("state").max_keys(7);
        let list = list
            .set_key_marker(marker.0)
            .set_version_id_marker(marker.1);
        let list = list.send().await.unwrap();
        versions += list.versions().len();
        if list.is_truncated() != Some(true) {
            break;
        }
        marker = (list.next_key_marker, list.next_version_id_marker);
    }
    assert_eq!(versions, 26);
}

#[tokio::test(start_paused = true)]
async fn multipart_uploads_complete_or_abort() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let create = || {
        client
            .create_multipart_upload()
            .bucket("state")
            .key("big")
            .send()
    };
    let upload = create().await.unwrap().upload_id.unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, size) in [(1, 5 << 20), (2, 10)] {
        let part = client
            .upload_part()
            .bucket("state")
            .key("big")
            .upload_id(&upload);
        let part = part.part_number(number).body(vec![b'x'; size].into());
        let etag = part.send().await.unwrap().e_tag.unwrap();
        parts = parts.parts(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(etag)
                .build(),
        );
    }
    let complete = |upload: &str, parts: CompletedMultipartUpload| {
        let call = client
            .complete_multipart_upload()
            .bucket("state")
            .key("big");
        call.upload_id(upload)
            .multipart_upload(parts)
            .if_none_match("*")
            .send()
    };
    let done = complete(&upload, parts.clone().build()).await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""));
    assert_eq!(
        sim.with(|w| w.object("state", "big").unwrap().body.len()),
        (5 << 20) + 10
    );
    assert_eq!(
        refusal(complete(&upload, parts.build()).await).1,
        "NoSuchUpload"
    );
    let other = create().await.unwrap().upload_id.unwrap();
    let abort = client
        .abort_multipart_upload()
        .bucket("state")
        .key("big")
        .upload_id(&other);
    abort.send().await.unwrap();
    let parts = CompletedMultipartUpload::builder().build();
    assert_eq!(refusal(complete(&other, parts).await).1, "NoSuchUpload");
}

#[tokio::test(start_paused = true)]
async fn streamed_bodies_are_decoded() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let frames = http_body_util::StreamBody::new(Frames(vec!["he", "llo"]));
    let body = ByteStream::from_body_1_x(frames);
    let put = client
        .put_object()
        .bucket("state")
        .key("k")
        .content_length(5)
        .body(body);
    put.send().await.unwrap();
    assert_eq!(get(&client, "state", "k").await, "hello");
    assert!(sim.with(|w| w.log()[0].operation == "PutObject"));
}

/// A stream of a few frames.
struct Frames(Vec<&'static str>);

impl futures_util::Stream for Frames {
    type Item = Result<http_body::Frame<bytes::Bytes>, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = (!self.0.is_empty()).then(|| self.0.remove(0));
        std::task::Poll::Ready(next.map(|text| Ok(http_body::Frame::data(text.into()))))
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_places_and_people_are_refused() {
    let sim = start(config(1));
    let home = s3(&sim, "app", "us-east-1");
    let wrong_region = home.head_object().bucket(AWAY).key("k").send().await;
    assert_eq!(refusal(wrong_region).0, 301);
    let nowhere = home
        .get_object()
        .bucket("nobody-has-it")
        .key("k")
        .send()
        .await;
    assert_eq!(refusal(nowhere), (404, "NoSuchBucket".to_owned()));
    for (key, code) in [
        ("AKIAIOSFODNN7EXAMPLE", "InvalidAccessKeyId"),
        ("999999999999", "AccessDenied"),
    ] {
        let client = s3_as(&sim, sim.http_client("other"), "us-east-1", key);
        let refused = client.get_object().bucket(HOME).key("k").send().await;
        assert_eq!(refusal(refused), (403, code.to_owned()));
    }
    sim.with(|world| assert!(world.writes().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_by_more_than_a_quarter_of_an_hour_is_refused() {
    let sim = start(config(1));
    let now = std::time::SystemTime::from(sim.with(|w| w.calendar(w.now())));
    for (minutes, status) in [(14, 200), (16, 403)] {
        let wrong = now - secs(minutes * 60);
        let client = s3(&sim, "app", "us-east-2");
        let config = client.config().to_builder();
        let config = config.time_source(aws_smithy_async::time::StaticTimeSource::new(wrong));
        let client = aws_sdk_s3::Client::from_conf(config.build());
        let answer = client.list_objects_v2().bucket("state").send().await;
        let (actual, code) = refusal(answer);
        assert_eq!(actual, status, "{minutes} minutes");
        assert_eq!(code == "RequestTimeTooSkewed", status == 403);
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_in_progress_and_their_parts_are_listed_in_pages() {
    let sim = start(config(1));
    let client = s3(&sim, "app", "us-east-2");
    let mut ids = Vec::new();
    for key in ["a b", "a b", "c"] {
        let create = client.create_multipart_upload().bucket("state").key(key);
        ids.push(create.send().await.unwrap().upload_id.unwrap());
        sim.sleep(secs(1)).await;
    }
    for number in 1..=3 {
        let part = client
            .upload_part()
            .bucket("state")
            .key("a b")
            .upload_id(&ids[0]);
        let part = part.part_number(number).body(ByteStream::from_static(b"x"));
        part.send().await.unwrap();
    }
    let parts = client
        .list_parts()
        .bucket("state")
        .key("a b")
        .upload_id(&ids[0]);
    let first = parts.clone().max_parts(2).send().await.unwrap();
    assert_eq!(first.parts().len(), 2);
    let marker = first.next_part_number_marker().unwrap();
    let rest = parts.part_number_marker(marker).send().await.unwrap();
    assert_eq!(rest.parts()[0].part_number(), Some(3));
    assert_eq!(rest.is_truncated(), Some(false));
    let list = || {
        client
            .list_multipart_uploads()
            .bucket("state")
            .max_uploads(1)
    };
    let mut listed = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let page = list()
            .set_key_marker(key.take())
            .set_upload_id_marker(id.take());
        let page = page.send().await.unwrap();
        let ids = page
            .uploads()
            .iter()
            .map(|upload| upload.upload_id().unwrap());
        listed.extend(ids.map(str::to_owned));
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
    }
    assert_eq!(listed, ids);
    let abort = client.abort_multipart_upload().bucket("state").key("c");
    abort.upload_id(&ids[2]).send().await.unwrap();
    let parts = client
        .list_parts()
        .bucket("state")
        .key("c")
        .upload_id(&ids[2]);
    assert_eq!(refusal(parts.send().await).1, "NoSuchUpload");
}
