//! With an override set no request leaves for another authority, whichever service, operation or ARN.

use std::collections::BTreeSet;
use std::time::Duration;

use sentinel_aws::alarms::Alarms;
use sentinel_aws::announce::{OutgoingMessage, Publisher};
use sentinel_aws::control::{ControlPlane, ControlTimeouts};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_aws::limits::Purpose;
use sentinel_core::names::Region;

use crate::wire::{Request, World, answer};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";

/// Sends something to every service and gives what left the process.
async fn everything(endpoints: EndpointOverrides) -> Vec<(&'static str, Request)> {
    let world = World::new(|_| answer(200, ""));
    let edge = world.edge_with(endpoints);
    let region: Region = "eu-west-1".parse().unwrap();
    let until = world.at(10_000);
    let mut sent = Vec::new();
    let mut note = |what| sent.push((what, world.requests().pop().unwrap()));

    let s3 = edge.s3(&region, Purpose::Store);
    let _ = s3.get_object().bucket("app-euw1").key("a b/c").send().await;
    note("bucket");
    let _ = s3
        .list_object_versions()
        .bucket("app.with.dots")
        .prefix("a")
        .send()
        .await;
    note("versions");
    let _ = edge
        .s3_fresh(&region, Purpose::Proof)
        .head_object()
        .bucket(MRAP)
        .key("a b/c")
        .send()
        .await;
    note("mrap");
    let timeouts = ControlTimeouts {
        try_timeout: Duration::from_secs(2),
        hedge_delay: Duration::from_millis(300),
    };
    let members = "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap();
    let _ = ControlPlane::new(edge.clone(), MRAP.parse().unwrap(), members, timeouts)
        .routes(&BTreeSet::new(), until)
        .await;
    note("routes");
    let topic = "arn:aws:sns:eu-west-1:111122223333:pages".parse().unwrap();
    let message = OutgoingMessage {
        subject: "info".into(),
        default_text: "text".into(),
        json: "{}".into(),
        attributes: vec![],
    };
    Publisher::new(edge.clone(), vec![topic])
        .publish(&message, until)
        .await;
    note("publish");
    let alarm = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:primary-5xx"
        .parse()
        .unwrap();
    Alarms::new(edge)
        .describe(&BTreeSet::from([alarm]), until)
        .await;
    note("alarms");
    sent
}

#[tokio::test(start_paused = true)]
async fn an_override_is_honoured_everywhere() {
    for (url, scheme, authority, prefix) in [
        ("http://127.0.0.1:4566", "http", "127.0.0.1:4566", ""),
        ("http://localhost:4566/", "http", "localhost:4566", ""),
        (
            "https://emulator.test/aws",
            "https",
            "emulator.test",
            "/aws",
        ),
    ] {
        for (what, request) in everything(EndpointOverrides::everything_at(url).unwrap()).await {
            assert_eq!(request.authority(), authority, "{what}");
            assert!(request.uri.starts_with(scheme), "{what}");
            assert!(
                request.path().starts_with(&format!("{prefix}/")),
                "{what}: {}",
                request.uri
            );
            assert!(!request.path().contains("//"), "{what}: {}", request.uri);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_access_point_is_told_by_the_signed_host() {
    let sent = everything(EndpointOverrides::everything_at("http://127.0.0.1:4566").unwrap()).await;
    let (_, request) = sent.iter().find(|(what, _)| *what == "mrap").unwrap();
    assert_eq!(
        request.header("host"),
        Some("mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com")
    );
    assert_eq!(request.path(), "/a%20b/c");
    let signature = request.header("authorization").unwrap();
    assert!(
        signature.starts_with("AWS4-ECDSA-P256-SHA256"),
        "{signature}"
    );
    assert!(signature.contains("SignedHeaders=host;"), "{signature}");
    assert_eq!(request.header("x-amz-region-set"), Some("*"));

    let (_, bucket) = sent.iter().find(|(what, _)| *what == "bucket").unwrap();
    assert!(
        bucket.path().starts_with("/app-euw1/a%20b/c"),
        "{}",
        bucket.uri
    );
    let (_, routes) = sent.iter().find(|(what, _)| *what == "routes").unwrap();
    assert_eq!(routes.header("x-amz-account-id"), Some("111122223333"));
    assert!(
        routes
            .header("authorization")
            .unwrap()
            .contains("/s3/aws4_request")
    );
}

#[tokio::test(start_paused = true)]
async fn without_an_override_requests_go_to_aws() {
    let hosts: Vec<String> = everything(EndpointOverrides::default())
        .await
        .into_iter()
        .map(|(_, request)| request.authority().to_owned())
        .collect();
    assert_eq!(
        hosts,
        [
            "app-euw1.s3.eu-west-1.amazonaws.com",
            "s3.eu-west-1.amazonaws.com",
            "mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com",
            "111122223333.s3-control.us-east-1.amazonaws.com",
            "sns.eu-west-1.amazonaws.com",
            "monitoring.eu-west-1.amazonaws.com",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_services_own_override_comes_first() {
    let lookup = |name: &str| match name {
        "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:1".to_owned()),
        "AWS_ENDPOINT_URL_S3_CONTROL" => Some("http://127.0.0.1:2".to_owned()),
        "AWS_ENDPOINT_URL_SNS" => Some(String::new()),
        _ => None,
    };
    for (what, request) in everything(EndpointOverrides::from_lookup(lookup).unwrap()).await {
        let port = if what == "routes" { "2" } else { "1" };
        assert_eq!(request.authority(), format!("127.0.0.1:{port}"), "{what}");
    }
}

#[test]
fn unusable_overrides_are_errors_that_name_the_variable() {
    for wrong in [
        "localhost:4566",
        "127.0.0.1",
        "ftp://host",
        "http://",
        "http://user:secret@host",
        "http://host/?query",
        "http://host/#fragment",
    ] {
        let lookup = |name: &str| (name == "AWS_ENDPOINT_URL_SNS").then(|| wrong.to_owned());
        let error = EndpointOverrides::from_lookup(lookup).unwrap_err();
        assert!(
            error.to_string().starts_with("AWS_ENDPOINT_URL_SNS: "),
            "{error}"
        );
    }
    let ignored = |name: &str| match name {
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" => Some("true".to_owned()),
        _ => Some("nonsense".to_owned()),
    };
    assert_eq!(
        EndpointOverrides::from_lookup(ignored),
        Ok(EndpointOverrides::default())
    );
}
