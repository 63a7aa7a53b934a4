//! Reads and writes through a Multi-Region Access Point, as your own program would: docs/use.md.
//!
//! ```sh
//! cargo build --locked --workspace --example use_mrap
//! target/debug/examples/use_mrap arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap
//! ```
//!
//! It prints a presigned URL last, so that `curl` can fetch what was written.
#![allow(clippy::print_stdout, reason = "this program talks to a person")]

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::RequestPayer;

const KEY: &str = "greetings/from-rust.txt";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mrap = std::env::args()
        .nth(1)
        .ok_or("usage: use_mrap <ARN of the access point>")?;
    let s3 = client().await;

    // The ARN stands where a bucket's name would. From it the SDK knows the host and that the request
    // is signed with SigV4A, valid in every Region: the feature `sigv4a` of aws-sdk-s3.
    s3.put_object()
        .bucket(&mrap)
        .key(KEY)
        .body(ByteStream::from_static(b"hello from Rust\n"))
        .send()
        .await?;

    let object = s3
        .get_object()
        .bucket(&mrap)
        .key(KEY)
        .request_payer(RequestPayer::Requester) // only needed if the buckets are Requester Pays
        .send()
        .await?;
    // COMPLETED or PENDING: written in the member that answered. REPLICA: it came from another one.
    let replication = object
        .replication_status()
        .map_or("none", |status| status.as_str())
        .to_owned();
    let text = object.body.collect().await?.into_bytes();
    println!(
        "got {} ({replication})",
        String::from_utf8_lossy(&text).trim_end()
    );

    // What the serving member has: a key that was replicated late may be missing.
    let mut pages = s3
        .list_objects_v2()
        .bucket(&mrap)
        .prefix("greetings/")
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        for entry in page?.contents() {
            println!(
                "listed {} ({} bytes)",
                entry.key().unwrap_or_default(),
                entry.size().unwrap_or_default()
            );
        }
    }

    // Good for whichever member serves when it is used, until it expires or the credentials do.
    let for_five_minutes = PresigningConfig::expires_in(Duration::from_mins(5))?;
    let link = s3
        .get_object()
        .bucket(&mrap)
        .key(KEY)
        .presigned(for_five_minutes)
        .await?;
    println!("{}", link.uri());
    Ok(())
}

/// A client that survives a failover: it gives up on a silent Region and tries again.
async fn client() -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        // One try: an upload with all its body, a download up to where its body begins. Bodies that
        // stall are given up by the SDK itself. No read time-out: it would count the upload, too.
        .operation_attempt_timeout(Duration::from_secs(30))
        .build();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        // Names no member: the access point has no Region. The SDK asks for one all the same, and takes
        // credentials from STS of this Region.
        .region(Region::from_static("us-east-2"))
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(timeouts)
        .load()
        .await;
    Client::new(&config)
}
