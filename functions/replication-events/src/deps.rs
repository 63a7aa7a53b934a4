//! What an invocation works with.

use std::sync::Arc;

use sentinel_aws::edge::Edge;
use sentinel_aws::lag::LagStore;
use sentinel_aws::ledger::Files;
use sentinel_aws::store::Store;
use sentinel_core::settings::CollectorSettings;

/// The adapters, made once per execution environment and shared by its invocations.
#[derive(Debug)]
pub struct Deps {
    pub(crate) edge: Arc<Edge>,
    pub(crate) settings: CollectorSettings,
    pub(crate) files: Files,
    pub(crate) lag: LagStore,
}

impl Deps {
    /// Adapters over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: CollectorSettings) -> Self {
        let bucket = &settings.state_bucket;
        let store = Store::new(edge.clone(), bucket.clone());
        Self {
            files: Files::of_state(edge.clone(), bucket.clone()),
            lag: LagStore::new(edge.clone(), store),
            settings,
            edge,
        }
    }
}
