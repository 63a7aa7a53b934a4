//! The production HTTP client over real sockets, against a server on loopback.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use sentinel_aws::edge::{Edge, Https};
use sentinel_aws::endpoints::EndpointOverrides;
use sentinel_aws::limits::Purpose;
use sentinel_aws::proof::{Proof, Serving};

use crate::wire::{Reply, World};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";

/// Serves every connection with empty successes and tells, for each request, which connection it
/// came over and its head.
fn server() -> (String, Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    let tell = Arc::new(Mutex::new(tell));
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                        let _ = tell.lock().unwrap().send((connection, text));
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    }
                }
            });
        }
    });
    (url, told)
}

fn edge(url: &str) -> Arc<Edge> {
    let mut parts =
        World::new(|_| Reply::Hang).parts(EndpointOverrides::everything_at(url).unwrap());
    parts.http = Arc::new(Https);
    parts.time_source = SharedTimeSource::new(SystemTimeSource::new());
    Arc::new(Edge::new(parts))
}

#[tokio::test]
async fn the_access_points_host_arrives_at_the_override() {
    let (url, told) = server();
    let edge = edge(&url);
    let members = "app-use1@us-east-1,app-euw1@eu-west-1".parse().unwrap();
    let proof = Proof::new(
        edge.clone(),
        MRAP.parse().unwrap(),
        members,
        ".canary".to_owned(),
    );
    let until = edge.now() + jiff::SignedDuration::from_secs(20);
    let report = proof.serving(until).await;
    assert!(matches!(report.serving, Serving::Several(_)), "{report:?}");
    let heads: Vec<(usize, String)> = told.try_iter().collect();
    assert_eq!(heads.len(), 2, "one for each member");
    for (_, head) in heads {
        assert!(
            head.starts_with("HEAD /.canary/mfzwi23gnjvgw.mrap/"),
            "{head}"
        );
        let hosts: Vec<&str> = head
            .lines()
            .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
            .collect();
        assert_eq!(
            hosts,
            ["host: mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com"],
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_fresh_client_opens_a_new_connection() {
    let (url, told) = server();
    let edge = edge(&url);
    let region = "eu-west-1".parse().unwrap();
    let kept = edge.s3(&region, Purpose::Store);
    for client in [
        kept.clone(),
        edge.s3(&region, Purpose::Store),
        edge.s3_fresh(&region, Purpose::Store),
        edge.s3_fresh(&region, Purpose::Store),
        kept,
    ] {
        client
            .head_object()
            .bucket("app-euw1")
            .key("k")
            .send()
            .await
            .unwrap();
    }
    let connections: Vec<usize> = told.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [0, 0, 1, 2, 0]);
}
