//! What an invocation works with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sentinel_aws::alarms::Alarms;
use sentinel_aws::announce::Publisher;
use sentinel_aws::control::{ControlPlane, ControlTimeouts};
use sentinel_aws::edge::Edge;
use sentinel_aws::pending::PendingMetrics;
use sentinel_aws::probe::{Prober, ProberParts};
use sentinel_aws::proof::Proof;
use sentinel_aws::store::Store;
use sentinel_core::settings::Settings;

/// The adapters, made once per execution environment and shared by its invocations.
#[derive(Debug)]
pub struct Deps {
    pub(crate) edge: Arc<Edge>,
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) control: ControlPlane,
    pub(crate) prober: Prober,
    pub(crate) proof: Proof,
    pub(crate) alarms: Alarms,
    pub(crate) pending: PendingMetrics,
    pub(crate) publisher: Publisher,
    /// When this environment last sent each unrecorded page: all the memory there is without the store.
    pub(crate) unrecorded: Mutex<BTreeMap<String, Timestamp>>,
}

/// A duration of the settings as the standard library's; they are checked not to be negative.
pub(crate) fn std_duration(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

impl Deps {
    /// Adapters over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: Settings) -> Self {
        let store = Store::new(edge.clone(), settings.state_bucket.clone());
        let thresholds = &settings.thresholds;
        Self {
            control: ControlPlane::new(
                edge.clone(),
                settings.mrap.clone(),
                settings.members.clone(),
                ControlTimeouts {
                    try_timeout: std_duration(thresholds.control_timeout),
                    hedge_delay: std_duration(thresholds.hedge_delay),
                },
            ),
            prober: Prober::new(
                edge.clone(),
                ProberParts {
                    mrap: settings.mrap.clone(),
                    members: settings.members.clone(),
                    canary_prefix: settings.canary_prefix.clone(),
                    timeout: std_duration(thresholds.probe_timeout),
                    observer: store.clone(),
                },
            ),
            proof: Proof::new(
                edge.clone(),
                settings.mrap.clone(),
                settings.members.clone(),
                settings.canary_prefix.clone(),
            ),
            alarms: Alarms::new(edge.clone()),
            pending: PendingMetrics::new(edge.clone()),
            publisher: Publisher::new(edge.clone(), settings.topics.clone()),
            unrecorded: Mutex::new(BTreeMap::new()),
            store,
            settings,
            edge,
        }
    }
}
