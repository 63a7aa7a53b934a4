//! Wires the `readiness-check` function to the Lambda runtime.

use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use readiness_check::{Deps, handle};
use sentinel_aws::edge::Edge;
use sentinel_core::settings::ReadinessSettings;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    #[expect(clippy::disallowed_methods, reason = "settings are read here, once")]
    let lookup = |name: &str| std::env::var(name).ok();
    // As text: what `main` returns is printed in its Debug form, and a person has to read it.
    let settings = ReadinessSettings::from_lookup(lookup).map_err(|error| error.to_string())?;
    let edge = Edge::from_env().await.map_err(|error| error.to_string())?;
    let deps = Deps::new(Arc::new(edge), settings);
    let deps = &deps;
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline =
            Timestamp::from_millisecond(i64::try_from(event.context.deadline).unwrap_or(i64::MAX))
                .unwrap_or(Timestamp::MAX);
        handle(deps, event.payload, deadline, &event.context.request_id)
            .await
            .map_err(|error| Error::from(error.chain()))
    }))
    .await
}
