//! Announcements: each topic through its own Region, whatever the others do.

use sentinel_aws::announce::{MessageId, OutgoingMessage, PublishError, Publisher};
use sentinel_aws::edge::Edge;
use sentinel_aws::failure::Failure;
use sentinel_aws::log::{EmbeddedMetrics, Level, Resolution, Unit, log};

use crate::wire::{Reply, Request, World, answer};

const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";

fn message() -> OutgoingMessage {
    OutgoingMessage {
        subject: "critical: us-east-1 failed over".to_owned(),
        default_text: "moved".to_owned(),
        json: r#"{"outcome":"failed-over"}"#.to_owned(),
        attributes: vec![
            ("severity".to_owned(), "critical".to_owned()),
            ("region".to_owned(), String::new()),
        ],
    }
}

#[tokio::test(start_paused = true)]
async fn one_topic_suffices_and_a_failed_one_is_reported() {
    let world = World::new(|request: &Request| match request.region() {
        "us-east-1" => Reply::Hang,
        _ => answer(200, PUBLISHED),
    });
    let topics = ["us-east-1", "eu-west-1"].map(|region| {
        format!("arn:aws:sns:{region}:111122223333:pages")
            .parse()
            .unwrap()
    });
    let sent = Publisher::new(world.edge(), topics.to_vec())
        .publish(&message(), world.at(5_000))
        .await;
    assert_eq!(
        sent,
        [
            (
                topics[0].clone(),
                Err(PublishError::Failed(Failure::Deadline))
            ),
            (topics[1].clone(), Ok(MessageId("m-1".to_owned()))),
        ]
    );
    assert_eq!(world.elapsed(), 5_000);

    let requests = world.requests();
    let request = requests
        .iter()
        .find(|request| request.region() == "eu-west-1")
        .unwrap();
    assert_eq!(request.authority(), "sns.eu-west-1.amazonaws.com");
    for part in [
        "Action=Publish",
        "MessageStructure=json",
        "Subject=critical%3A%20us-east-1%20failed%20over",
        "MessageAttributes.entry.1.Name=severity",
        "MessageAttributes.entry.1.Value.StringValue=critical",
    ] {
        assert!(request.body.contains(part), "{part} in {}", request.body);
    }
    assert!(
        !request.body.contains("entry.2"),
        "SNS refuses empty attributes: {}",
        request.body
    );
}

#[tokio::test(start_paused = true)]
async fn lines_go_to_the_sink() {
    let world = World::new(|_| Reply::Hang);
    let edge: &Edge = &world.edge();
    log(
        edge,
        Level::Info,
        "decided",
        &serde_json::json!({"incident": "i"}),
    );
    EmbeddedMetrics::new(edge.now(), &[("Mrap", "m")])
        .metric("RouteChanges", 1.0, Unit::Count, Resolution::Minute)
        .print(edge);
    let lines = world.lines();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains(r#""timestamp":"2026-11-20T16:59:03.000Z""#),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains(r#""RouteChanges":1.0"#), "{}", lines[1]);
}
