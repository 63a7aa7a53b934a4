//! The served world, spoken to by the real SDK over TCP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::SdkError;
use aws_smithy_types::retry::RetryConfig;
use common::{ACCOUNT, credentials, refusal, timeouts};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// The simulator's own binary on a free port, killed at the end.
struct Served {
    child: Child,
    port: u16,
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .args(["serve", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A control call.
    async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port))
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/_sim/{path}"))
            .header("host", "127.0.0.1")
            .body(Full::new(bytes::Bytes::from(body)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn s3(&self, region: &'static str) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .credentials_provider(credentials(ACCOUNT))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .endpoint_url(self.url())
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_sdk_reads_and_writes_over_tcp() {
    let served = Served::start(&["--time-scale", "20"]);
    let home = served.s3("us-east-1");
    let put = home
        .put_object()
        .bucket("app-use1")
        .key("a/b c")
        .metadata("round", "1");
    let done = put.body(b"hello".to_vec().into()).send().await.unwrap();
    let read = home
        .get_object()
        .bucket("app-use1")
        .key("a/b c")
        .send()
        .await
        .unwrap();
    assert_eq!(read.e_tag(), done.e_tag());
    assert_eq!(read.body.collect().await.unwrap().to_vec(), b"hello");
    let head = home
        .head_object()
        .bucket("app-use1")
        .key("a/b c")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(5));
    served
        .control("POST", "advance", json!({"millis": 60_000}))
        .await;
    let away = served.s3("eu-west-1");
    let copy = away
        .head_object()
        .bucket("app-euw1")
        .key("a/b c")
        .send()
        .await
        .unwrap();
    assert_eq!(copy.replication_status().unwrap().as_str(), "REPLICA");
    let streamed = aws_sdk_s3::primitives::ByteStream::from_path("Cargo.toml")
        .await
        .unwrap();
    let put = home
        .put_object()
        .bucket("app-use1")
        .key("streamed")
        .body(streamed);
    put.send().await.unwrap();
    let object = served
        .control("GET", "object?bucket=app-use1&key=streamed", Value::Null)
        .await;
    let expected = std::fs::read_to_string("Cargo.toml").unwrap();
    assert_eq!(object[0]["body"], expected.as_str());
    let conflict = home
        .put_object()
        .bucket("app-use1")
        .key("streamed")
        .if_none_match("*");
    assert_eq!(refusal(conflict.send().await).0, 412);
    let log = served.control("GET", "log", Value::Null).await;
    assert_eq!(log[0]["operation"], "PutObject");
    assert_eq!(log[0]["fate"], "answered");
}

#[tokio::test]
async fn faults_and_resets_are_controlled_over_http() {
    let served = Served::start(&[]);
    let home = served.s3("us-east-1");
    let write = async || {
        let put = home
            .put_object()
            .bucket("app-use1")
            .key("k")
            .body(b"v".to_vec().into());
        put.send().await
    };
    write().await.unwrap();
    let fault = json!({"kind": "slow-down", "regions": ["us-east-1"]});
    let id = served.control("POST", "faults", fault).await["id"].clone();
    assert_eq!(refusal(write().await), (503, "SlowDown".to_owned()));
    served
        .control("DELETE", &format!("faults/{id}"), Value::Null)
        .await;
    let late = json!({"kind": {"late-landing": {"millis": 200}}, "operations": ["DeleteObject"]});
    served.control("POST", "faults", late).await;
    let gone = home
        .delete_object()
        .bucket("app-use1")
        .key("k")
        .send()
        .await;
    assert!(matches!(
        gone,
        Err(SdkError::TimeoutError(_) | SdkError::DispatchFailure(_))
    ));
    tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let object = served
                .control("GET", "object?bucket=app-use1&key=k", Value::Null)
                .await;
            if object[0]["delete_marker"] == true {
                break;
            }
        }
    })
    .await
    .expect("the delete lands although its client gave up");
    let outage = json!({"region": "us-east-1", "kind": "refuse", "services": ["s3"], "from": 0});
    served.control("POST", "outages", outage).await;
    assert!(matches!(write().await, Err(SdkError::DispatchFailure(_))));
    served
        .control("DELETE", "outages/us-east-1", Value::Null)
        .await;
    write().await.unwrap();
    served
        .control(
            "POST",
            "routes",
            json!({"alias": "mfzwi23gnjvgw.mrap", "dials": {"app-use1": 0, "app-euw1": 100}}),
        )
        .await;
    let state = served.control("GET", "state", Value::Null).await;
    assert_eq!(
        state["mraps"]["mfzwi23gnjvgw.mrap"]["routes"][1]["dial"],
        100
    );
    served.control("POST", "reset", Value::Null).await;
    let state = served.control("GET", "state", Value::Null).await;
    assert_eq!(state["requests"], 0);
}

#[tokio::test]
async fn replication_and_its_events_are_controlled_over_http() {
    let served = Served::start(&["--time-scale", "100"]);
    let deny = json!({"source": "app-use1", "destination": "app-euw1", "reason": "DstPutObjectNotPermitted"});
    served.control("POST", "replication", deny).await;
    let role = json!({"denial": "read-manifest", "on": true});
    served.control("POST", "batch-role", role).await;
    let key = json!({"key": "arn:aws:kms:us-east-1:111122223333:key/1", "state": "disabled"});
    served.control("POST", "kms", key).await;
    let versioning = json!({"bucket": "app-use1", "versioning": "enabled"});
    served.control("POST", "versioning", versioning).await;
    let home = served.s3("us-east-1");
    let put = home.put_object().bucket("app-use1").key("k");
    put.body(b"v".to_vec().into()).send().await.unwrap();
    served
        .control("POST", "advance", json!({"millis": 600_000}))
        .await;
    let messages = served
        .control("GET", "messages?limit=100", Value::Null)
        .await;
    let messages = messages.as_array().unwrap();
    let failed = |message: &&Value| {
        let body = message["body"].as_str().unwrap();
        body.contains("DstPutObjectNotPermitted")
    };
    assert_eq!(messages.iter().filter(failed).count(), 1);
    let jobs = served.control("GET", "jobs", Value::Null).await;
    assert_eq!(jobs, json!([]));
    let tasks = served.control("GET", "tasks?job=none", Value::Null).await;
    assert_eq!(tasks, json!([]));
}
