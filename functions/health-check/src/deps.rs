//! What an invocation works with.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use sentinel_aws::announce::Publisher;
use sentinel_aws::control::{ControlPlane, ControlTimeouts};
use sentinel_aws::edge::Edge;
use sentinel_aws::heartbeat::Heartbeat;
use sentinel_aws::pairs::PairReader;
use sentinel_aws::probe::{Prober, ProberParts};
use sentinel_aws::proof::Proof;
use sentinel_aws::store::Store;
use sentinel_core::settings::HealthSettings;

/// The adapters, made once per execution environment and shared by its invocations.
#[derive(Debug)]
pub struct Deps {
    pub(crate) edge: Arc<Edge>,
    pub(crate) settings: HealthSettings,
    /// Where the evidence is written: of the control Region, whoever writes.
    pub(crate) store: Store,
    pub(crate) prober: Prober,
    /// None of these for a witness: it looks at the members and at nothing else.
    pub(crate) control: Option<Control>,
    pub(crate) heartbeat: Option<Heartbeat>,
}

/// What only the control Region's health check does.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) routes: ControlPlane,
    pub(crate) proof: Proof,
    pub(crate) pairs: PairReader,
    pub(crate) waker: Publisher,
}

/// A duration of the settings as the standard library's; they are checked not to be negative.
pub(crate) fn std_duration(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

impl Deps {
    /// Adapters over this edge.
    #[must_use]
    pub fn new(edge: Arc<Edge>, settings: HealthSettings) -> Self {
        let own = Store::new(edge.clone(), settings.state_bucket.clone());
        let store = match &settings.witness_of {
            None => own.clone(),
            Some(of) => Store::in_region(edge.clone(), of.region.clone(), of.bucket.clone()),
        };
        let (mrap, members) = (&settings.mrap, &settings.members);
        let prober = Prober::new(
            edge.clone(),
            ProberParts {
                mrap: mrap.clone(),
                members: members.clone(),
                canary_prefix: settings.canary_prefix.clone(),
                timeout: std_duration(settings.probe_timeout),
                observer: own,
            },
        );
        let control = settings.alarm_topic.clone().map(|topic| Control {
            routes: ControlPlane::new(
                edge.clone(),
                mrap.clone(),
                members.clone(),
                ControlTimeouts {
                    try_timeout: std_duration(settings.control_timeout),
                    hedge_delay: std_duration(settings.hedge_delay),
                },
            ),
            proof: Proof::new(
                edge.clone(),
                mrap.clone(),
                members.clone(),
                settings.canary_prefix.clone(),
            ),
            pairs: PairReader::new(edge.clone()),
            waker: Publisher::new(edge.clone(), vec![topic]),
        });
        let heartbeat = settings
            .heartbeat
            .clone()
            .map(|region| Heartbeat::new(edge.clone(), mrap.clone(), region));
        Self {
            edge,
            settings,
            store,
            prober,
            control,
            heartbeat,
        }
    }
}
