//! What an invocation works with.

use std::sync::Arc;

use sentinel_aws::announce::Publisher;
use sentinel_aws::edge::Edge;
use sentinel_aws::inventory::InventoryReader;
use sentinel_aws::store::Store;
use sentinel_core::settings::ReadinessSettings;

/// The adapters, made once per execution environment and shared by its invocations.
#[derive(Debug)]
pub struct Deps {
    pub(crate) edge: Arc<Edge>,
    pub(crate) settings: ReadinessSettings,
    pub(crate) store: Store,
    pub(crate) inventory: InventoryReader,
    pub(crate) publisher: Publisher,
}

impl Deps {
    /// Adapters over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: ReadinessSettings) -> Self {
        Self {
            store: Store::new(edge.clone(), settings.state_bucket.clone()),
            inventory: InventoryReader::new(edge.clone(), settings.clone()),
            publisher: Publisher::new(edge.clone(), settings.topics.clone()),
            settings,
            edge,
        }
    }
}
