//! The SDK's HTTP client interface over the world, in process and on virtual time.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// An HTTP client with a connection pool of its own; clones share the pool.
#[derive(Debug, Clone)]
pub struct SimClient {}

impl SimClient {
    /// The client's label.
    #[must_use]
    pub fn label(&self) -> &str {
        todo!()
    }

    /// See [`Simulator::crash_after`](crate::Simulator::crash_after).
    pub fn crash_after(&self, n: u64) {
        let _ = n;
        todo!()
    }

    /// See [`Simulator::crashed`](crate::Simulator::crashed).
    pub async fn crashed(&self) {
        todo!()
    }
}

impl HttpClient for SimClient {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        todo!()
    }
}
