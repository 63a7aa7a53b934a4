//! Groups: they open, are held anew, overflow and close by what the ledger holds.

use jiff::{SignedDuration, Timestamp};

use super::{Desk, later};
use crate::ledger::{GroupId, OpenName};
use crate::redrive::inventory::{Extent, Inventory, Listed};
use crate::redrive::plan::{SWEEP_MARGIN, settles_as};
use crate::redrive::state::{GroupPhase, GroupRecord, Overflow, RedriveState};

/// Files that an overflowed group drops in one round.
const DROPPED_AT_ONCE: usize = 500;

impl Desk<'_> {
    /// Takes note of what the ledger holds: groups open, close, are held anew, overflow.
    pub fn look(&self, state: &mut RedriveState, inventory: &Inventory) {
        let ids: Vec<GroupId> = state.groups.keys().copied().collect();
        for id in ids {
            let Some(mut record) = state.groups.get(&id).cloned() else {
                continue;
            };
            let before = record.clone();
            self.look_at(state, &mut record, inventory.files(id));
            if record != before {
                state.groups.insert(id, record);
            }
        }
    }

    pub(super) fn look_at(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        files: &[Listed],
    ) {
        let in_job = state.is_in_job(&record.group);
        self.look_at_abandon(state, record, files, in_job);
        let Some(extent) = Extent::of(files) else {
            let waits = in_job || record.restore.is_some() || record.overflow.is_some();
            if !waits && !record.is_closed() {
                self.close(state, record);
            }
            return;
        };
        self.look_at_source(state, record);
        let is_final = settles_as(record).is_some();
        match &record.phase {
            GroupPhase::Closed { .. } if is_final => {
                Self::begin_episode(record);
                record.phase = GroupPhase::Final { since: self.now };
            }
            GroupPhase::Closed { since } => {
                // What failed before its last job ended belongs to that job, and is mostly settled.
                if record.last_end.is_some_and(|end| extent.newest <= end) {
                    record.phase = GroupPhase::Released { since: self.now };
                } else {
                    // A cause that comes and goes is sampled ever more slowly.
                    let soon =
                        self.now.duration_since(*since) <= self.settings.thresholds.sample_max;
                    if record.episode > 0 && soon {
                        self.lengthen(record);
                    }
                    self.hold_anew(state, record, extent.rows, Some(extent.oldest), None);
                }
            }
            GroupPhase::Released { since } => {
                let comes_back = record
                    .last_end
                    .is_some_and(|end| *since <= end && extent.newest > end);
                if comes_back && !in_job && record.asked.is_none() {
                    self.lengthen(record);
                    let why = "it had been re-driven, and now versions fail for it again";
                    let (rows, oldest) = (extent.rows, Some(extent.oldest));
                    self.hold_anew(state, record, rows, oldest, Some(why));
                }
            }
            GroupPhase::Held { .. } if is_final => {
                record.phase = GroupPhase::Final { since: self.now };
            }
            GroupPhase::Final { .. } if !is_final => Self::hold(record, self.now, self.now),
            // Its job is gone without a trace: a document that somebody edited.
            GroupPhase::Sampled { since, .. } if !in_job => {
                let since = *since;
                Self::hold(record, since, self.next_sample(record));
            }
            GroupPhase::Held { .. } | GroupPhase::Final { .. } | GroupPhase::Sampled { .. } => {}
        }
        if !matches!(record.phase, GroupPhase::Final { .. }) {
            self.look_at_overflow(state, record, files, &extent);
        }
    }

    /// A group whose rows were given up: done when nothing is left that was written before.
    pub(super) fn look_at_abandon(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        files: &[Listed],
        in_job: bool,
    ) {
        let Some(asked) = record.abandon.clone() else {
            return;
        };
        if in_job || files.iter().any(|file| file.appended <= asked.at) {
            return;
        }
        record.abandon = None;
        record.asked = None;
        // What was counted and not kept is given up, too.
        if let Some(overflow) = record.overflow.take() {
            record.abandoned += overflow.rows;
            state.totals.abandoned += overflow.rows;
        }
        record.phase = GroupPhase::Closed { since: self.now };
        self.tell_abandoned(state, record, &asked);
    }

    /// Nothing can be done for versions of a bucket that is no member: people have to know.
    pub(super) fn look_at_source(&self, state: &mut RedriveState, record: &GroupRecord) {
        let key = format!("source {}", record.group.source);
        if self.settings.region_of(&record.group.source).is_some() {
            state.problems.remove(&key);
        } else if state.problems.insert(key, self.now).is_none() {
            self.tell_foreign_source(state, record);
        }
    }

    /// Counts and drops files beyond what is kept of one group.
    pub(super) fn look_at_overflow(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        files: &[Listed],
        extent: &Extent,
    ) {
        let kept = self.settings.thresholds.group_sweep;
        let dropping = record
            .overflow
            .as_ref()
            .is_some_and(|overflow| !overflow.dropping.is_empty());
        if extent.rows <= kept || dropping {
            return;
        }
        let mut files: Vec<&Listed> = files.iter().collect();
        files.sort_by_key(|file| (file.appended, file.name));
        let frozen = |file: &Listed| {
            let key = file.name.key();
            state
                .jobs
                .values()
                .any(|open| open.job.inputs.contains(&key))
        };
        let mut rows = 0_u64;
        let surplus: Vec<OpenName> = files
            .into_iter()
            .filter(|file| {
                rows = rows.saturating_add(file.name.rows);
                rows > kept && !frozen(file)
            })
            .map(|file| file.name)
            .take(DROPPED_AT_ONCE)
            .collect();
        if surplus.is_empty() {
            return;
        }
        let counted: u64 = surplus.iter().map(|name| name.rows).sum();
        let overflow = record.overflow.get_or_insert_with(|| Overflow {
            rows: 0,
            oldest: extent.oldest,
            dropping: Vec::new(),
            told: false,
        });
        overflow.rows = overflow.rows.saturating_add(counted);
        overflow.oldest = overflow.oldest.min(extent.oldest);
        overflow.dropping = surplus;
        if !overflow.told {
            overflow.told = true;
            let begin = overflow.oldest.checked_sub(SWEEP_MARGIN);
            self.tell_overflow(state, record, begin.unwrap_or(Timestamp::MIN));
        }
    }

    pub(super) fn begin_episode(record: &mut GroupRecord) {
        record.episode += 1;
        record.samples = 0;
        record.widen = 0;
        record.replicated = 0;
        record.finals = 0;
        record.abandoned = 0;
        record.tried_once_more = false;
        record.asked = None;
    }

    /// Holds a group in a new episode, and pages for it.
    pub(super) fn hold_anew(
        &self,
        state: &mut RedriveState,
        record: &mut GroupRecord,
        rows: u64,
        oldest: Option<Timestamp>,
        again: Option<&str>,
    ) {
        Self::begin_episode(record);
        let next = self.next_sample(record);
        Self::hold(record, self.now, next);
        self.tell_failing(state, record, rows, oldest, again);
    }

    pub(super) fn hold(record: &mut GroupRecord, since: Timestamp, next_sample_at: Timestamp) {
        record.phase = GroupPhase::Held {
            since,
            next_sample_at,
        };
    }

    /// When the next sample is due.
    pub(super) fn next_sample(&self, record: &GroupRecord) -> Timestamp {
        later(
            self.now,
            SignedDuration::from_secs(record.interval_seconds.max(1)),
        )
    }

    /// Doubles the interval between samples.
    pub(super) fn lengthen(&self, record: &mut GroupRecord) {
        record.interval_seconds = record
            .interval_seconds
            .saturating_mul(2)
            .min(self.settings.thresholds.sample_max.as_secs());
    }

    /// Nothing of the group is open any more.
    pub(super) fn close(&self, state: &mut RedriveState, record: &mut GroupRecord) {
        let was_final = matches!(record.phase, GroupPhase::Final { .. });
        record.phase = GroupPhase::Closed { since: self.now };
        record.asked = None;
        record.widen = 0;
        record.tried_once_more = false;
        if !was_final {
            self.tell_closed(state, record);
        }
    }
}
