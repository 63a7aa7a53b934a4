//! Asynchronous replication: what is on its way, what waits for a Region, what is denied.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::config::Timing;
use crate::dice::span;
use crate::reasons;
use crate::s3::{Cause, Lane, Outgoing};
use crate::truth::Reason;

type Pair = (String, String);

/// The state of all replication.
#[derive(Debug)]
pub(crate) struct Replication {
    default_delay: RangeInclusive<u64>,
    resume: RangeInclusive<u64>,
    delays: BTreeMap<Pair, RangeInclusive<u64>>,
    /// By pair, keys with this prefix; the newest first.
    delays_under: Vec<(Pair, String, RangeInclusive<u64>)>,
    denied: BTreeMap<Pair, Reason>,
    /// Waiting for a Region to return, in order of arrival here.
    parked: Vec<Outgoing>,
    /// By the lane's number.
    pending: BTreeMap<u32, (Arc<Lane>, Pending)>,
}

/// What is not there yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
}

impl Replication {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            default_delay: timing.replication.clone(),
            resume: timing.replication_resume.clone(),
            delays: BTreeMap::new(),
            delays_under: Vec::new(),
            denied: BTreeMap::new(),
            parked: Vec::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Counts a transfer in and draws when it is due. The metrics of what is pending leave out
    /// what a job started.
    pub(crate) fn start(&mut self, transfer: &Outgoing, rng: &mut Rng) -> Duration {
        if transfer.cause == Cause::Live {
            let lane = &transfer.lane;
            let (_, pending) = self
                .pending
                .entry(lane.number)
                .or_insert_with(|| (Arc::clone(lane), Pending::default()));
            pending.operations += 1;
            pending.bytes += transfer.bytes;
        }
        span(rng, self.delay(transfer))
    }

    fn delay(&self, transfer: &Outgoing) -> &RangeInclusive<u64> {
        if self.delays.is_empty() && self.delays_under.is_empty() {
            return &self.default_delay;
        }
        let pair = pair(&transfer.lane);
        let mut under = self.delays_under.iter();
        under
            .find(|(of, prefix, _)| *of == pair && transfer.key.starts_with(prefix.as_str()))
            .map(|(_, _, delay)| delay)
            .or_else(|| self.delays.get(&pair))
            .unwrap_or(&self.default_delay)
    }

    /// Counts a transfer out, whatever became of it.
    pub(crate) fn finish(&mut self, transfer: &Outgoing) {
        if transfer.cause == Cause::Live
            && let Some((_, pending)) = self.pending.get_mut(&transfer.lane.number)
        {
            pending.operations -= 1;
            pending.bytes -= transfer.bytes;
        }
    }

    /// Keeps a transfer until its Regions are up.
    pub(crate) fn park(&mut self, transfer: Outgoing) {
        self.parked.push(transfer);
    }

    /// Takes the parked transfers that can go on, each with its delay from now.
    pub(crate) fn resume(
        &mut self,
        can_go: impl Fn(&Outgoing) -> bool,
        rng: &mut Rng,
    ) -> Vec<(Duration, Outgoing)> {
        let parked = std::mem::take(&mut self.parked);
        let (ready, waiting) = parked.into_iter().partition(|t| can_go(t));
        self.parked = waiting;
        let ready: Vec<Outgoing> = ready;
        let delayed = ready.into_iter().map(|t| (span(rng, &self.resume), t));
        delayed.collect()
    }

    pub(crate) fn denial(&self, lane: &Lane) -> Option<&Reason> {
        if self.denied.is_empty() {
            return None;
        }
        self.denied.get(&pair(lane))
    }

    pub(crate) fn denial_between(&self, source: &str, destination: &str) -> Option<&Reason> {
        let key = (source.to_owned(), destination.to_owned());
        self.denied.get(&key)
    }

    pub(crate) fn deny(&mut self, source: &str, destination: &str, reason: Option<&str>) {
        let key = (source.to_owned(), destination.to_owned());
        match reason {
            Some(reason) => self.denied.insert(key, reasons::known(reason)),
            None => self.denied.remove(&key),
        };
    }

    pub(crate) fn set_delay(
        &mut self,
        source: &str,
        destination: &str,
        delay: RangeInclusive<u64>,
    ) {
        let key = (source.to_owned(), destination.to_owned());
        self.delays.insert(key, delay);
    }

    pub(crate) fn set_delay_under(
        &mut self,
        source: &str,
        destination: &str,
        prefix: &str,
        delay: RangeInclusive<u64>,
    ) {
        let pair = (source.to_owned(), destination.to_owned());
        self.delays_under
            .insert(0, (pair, prefix.to_owned(), delay));
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = (&Lane, &Pending)> {
        let all = self.pending.values();
        all.map(|(lane, pending)| (&**lane, pending))
    }

    pub(crate) fn pending_between(&self, source: &str, destination: &str) -> u64 {
        self.pending()
            .filter(|(lane, _)| &*lane.source == source && &*lane.destination == destination)
            .map(|(_, pending)| pending.operations)
            .sum()
    }
}

fn pair(lane: &Lane) -> Pair {
    (lane.source.to_string(), lane.destination.to_string())
}
