//! The readiness check's report, as the other functions read it.

use sentinel_core::names::MrapArn;
use sentinel_core::readiness::{REPORT_KEY, Report, ReportError};
use serde_json::Value;

use crate::store::{Store, StoreError};

/// Why the report cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadReportError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be understood, or is about another access point.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// What the readiness check found last; nothing if it never looked.
///
/// # Errors
/// [`ReadReportError`].
pub async fn report(store: &Store, mrap: &MrapArn) -> Result<Option<Report>, ReadReportError> {
    match store.load_optional::<Value>(REPORT_KEY).await? {
        Some((document, _)) => Ok(Some(Report::parse(document, mrap)?)),
        None => Ok(None),
    }
}
