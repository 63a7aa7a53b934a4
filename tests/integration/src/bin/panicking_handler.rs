//! A handler wired to the Lambda runtime as `failover` wires its own, which panics when asked to.
//!
//! Nothing in the function itself panics on purpose, and nothing deployed should be able to.
#![allow(clippy::panic, reason = "this is what it is for")]

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(async |event: LambdaEvent<Value>| {
        match event.payload.get("panic") {
            Some(how) => panic!("asked to panic: {how}"),
            None => Ok::<_, Error>(json!({ "pid": std::process::id() })),
        }
    }))
    .await
}
