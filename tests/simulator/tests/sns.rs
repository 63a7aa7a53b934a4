//! SNS Publish through the real SDK.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use aws_sdk_sns::types::MessageAttributeValue;
use common::{TOPIC, config, refusal, sns, start};

#[tokio::test(start_paused = true)]
async fn what_is_published_is_kept() {
    let sim = start(config(1));
    let client = sns(&sim, "failover", "us-east-2");
    let severity = MessageAttributeValue::builder();
    let severity = severity
        .data_type("String")
        .string_value("critical")
        .build()
        .unwrap();
    let message = r#"{"default":"text & <more>","https":"{\"a\":1}"}"#;
    let sent = client
        .publish()
        .topic_arn(TOPIC)
        .subject("CRITICAL: us-east-1 is down")
        .message(message)
        .message_structure("json")
        .message_attributes("severity", severity)
        .send()
        .await
        .unwrap();
    let kept = sim.with(|world| world.published().to_vec());
    assert_eq!(kept.len(), 1);
    assert_eq!(sent.message_id(), Some(kept[0].message_id.as_str()));
    assert_eq!(kept[0].message, message);
    assert_eq!(
        kept[0].subject.as_deref(),
        Some("CRITICAL: us-east-1 is down")
    );
    assert_eq!(kept[0].attributes["severity"], "critical");
    assert!(kept[0].json_structure);
    assert_eq!(kept[0].client, "failover");
}

/// Region, topic, subject, message, structure; status and code.
type Refused<'a> = (
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    u16,
    &'a str,
);

#[tokio::test(start_paused = true)]
async fn what_sns_would_refuse_is_refused() {
    let sim = start(config(1));
    let publish =
        async |region: &str, topic: &str, subject: &str, message: &str, structure: Option<&str>| {
            let call = sns(&sim, "failover", region)
                .publish()
                .topic_arn(topic)
                .message(message);
            let call = call
                .subject(subject)
                .set_message_structure(structure.map(str::to_owned));
            refusal(call.send().await)
        };
    let long = "x".repeat(101);
    let absent = "arn:aws:sns:us-east-2:111122223333:absent";
    let foreign = "arn:aws:sns:us-east-2:999999999999:pages";
    let invalid = "InvalidParameter";
    let cases: [Refused; 10] = [
        ("us-east-2", TOPIC, &long, "m", None, 400, invalid),
        (
            "us-east-2",
            TOPIC,
            " starts with a blank",
            "m",
            None,
            400,
            invalid,
        ),
        ("us-east-2", TOPIC, "a\nb", "m", None, 400, invalid),
        ("us-east-2", TOPIC, "caf\u{e9}", "m", None, 400, invalid),
        (
            "us-east-2",
            TOPIC,
            "s",
            "not json",
            Some("json"),
            400,
            invalid,
        ),
        (
            "us-east-2",
            TOPIC,
            "s",
            r#"{"email":"x"}"#,
            Some("json"),
            400,
            invalid,
        ),
        ("us-east-2", TOPIC, "s", "m", Some("yaml"), 400, invalid),
        ("eu-west-1", TOPIC, "s", "m", None, 400, invalid),
        ("us-east-2", absent, "s", "m", None, 404, "NotFound"),
        (
            "us-east-2",
            foreign,
            "s",
            "m",
            None,
            403,
            "AuthorizationError",
        ),
    ];
    for (region, topic, subject, message, structure, status, code) in cases {
        let answer = publish(region, topic, subject, message, structure).await;
        assert_eq!(answer, (status, code.to_owned()), "{subject} {message}");
    }
    assert!(sim.with(|world| world.published().is_empty()));
    assert_eq!(
        publish("us-east-2", TOPIC, &"y".repeat(100), "m", None)
            .await
            .0,
        200
    );
}
