//! `lag.json`: merges what events say of lag into the one document that tells it.

use std::sync::Arc;
use std::time::Duration;

use sentinel_core::replication::{LAG_KEY, LagDocument, LagError};
use serde_json::Value;

use crate::edge::Edge;
use crate::store::{ETag, Expected, Store, StoreError};

/// Tries against others that merge at the same time. Few functions do, and each is done in a
/// fraction of a second.
const TRIES: u32 = 8;

/// The pause after the first of them; one longer by as much after each other.
const PAUSE: Duration = Duration::from_millis(50);

/// The document in the state bucket.
#[derive(Debug, Clone)]
pub struct LagStore {
    edge: Arc<Edge>,
    store: Store,
}

/// Why lag could not be told or recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LagStoreError {
    /// The state store failed or refused.
    #[error("the record of replication lag cannot be used")]
    Store(#[from] StoreError),
    /// The document is of a later version, or none.
    #[error("the record of replication lag cannot be used")]
    Document(#[from] LagError),
    /// Others kept changing it.
    #[error("others kept changing {LAG_KEY}")]
    Contended,
}

impl LagStore {
    /// The document in this store.
    #[must_use]
    pub fn new(edge: Arc<Edge>, store: Store) -> Self {
        Self { edge, store }
    }

    /// What is known; nothing if there is no document.
    ///
    /// # Errors
    /// [`LagStoreError`].
    pub async fn load(&self) -> Result<LagDocument, LagStoreError> {
        self.current().await.map(|(document, _)| document)
    }

    /// Adds what `news` tells, and says whether that was anything new. `writer` identifies the
    /// caller's request (see [`Store::save`]).
    ///
    /// # Errors
    /// [`LagStoreError`]; merging the same again is safe.
    pub async fn merge(&self, news: &LagDocument, writer: &str) -> Result<bool, LagStoreError> {
        for tried in 1..=TRIES {
            let (mut document, etag) = self.current().await?;
            if !document.merge(news) {
                return Ok(false);
            }
            let expected = etag.map_or(Expected::Absent, Expected::Version);
            let writer = format!("{writer}/{tried}");
            match self
                .store
                .save(LAG_KEY, &document, &expected, &writer)
                .await
            {
                Ok(_) => return Ok(true),
                Err(StoreError::Lost { .. } | StoreError::Missing { .. }) => {
                    self.edge.sleep(PAUSE * tried).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(LagStoreError::Contended)
    }

    async fn current(&self) -> Result<(LagDocument, Option<ETag>), LagStoreError> {
        match self.store.load_optional::<Value>(LAG_KEY).await? {
            None => Ok((LagDocument::default(), None)),
            Some((document, etag)) => Ok((LagDocument::parse(document)?, Some(etag))),
        }
    }
}
