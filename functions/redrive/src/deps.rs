//! What an invocation works with.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sentinel_aws::announce::Publisher;
use sentinel_aws::edge::Edge;
use sentinel_aws::ledger::Files;
use sentinel_aws::store::Store;
use sentinel_core::settings::RedriveSettings;

/// The adapters, made once per execution environment and shared by its invocations.
#[derive(Debug)]
pub struct Deps {
    pub(crate) edge: Arc<Edge>,
    pub(crate) settings: RedriveSettings,
    pub(crate) store: Store,
    pub(crate) files: Files,
    pub(crate) publisher: Publisher,
    /// When this environment last paged that the document is lost: all the memory there is without it.
    pub(crate) paged_lost: Mutex<Option<Timestamp>>,
}

impl Deps {
    /// Adapters over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: RedriveSettings) -> Self {
        Self {
            store: Store::new(edge.clone(), settings.state_bucket.clone()),
            files: Files::of_state(edge.clone(), settings.state_bucket.clone()),
            publisher: Publisher::new(edge.clone(), settings.topics.clone()),
            paged_lost: Mutex::new(None),
            settings,
            edge,
        }
    }
}
