//! Groups: they open, are held anew, overflow and close by what the ledger holds.

use jiff::{SignedDuration, Timestamp};

use super::{Desk, later};
use crate::announce::OUTBOX_FULL;
use crate::ledger::{GroupId, OpenName};
use crate::redrive::inventory::{Extent, Inventory, Listed};
use crate::redrive::plan::{SWEEP_MARGIN, settles_as};
use crate::redrive::state::{GroupPhase, GroupRecord, Overflow, RedriveState};
use crate::settings::RedriveMode;

/// Files that an overflowed group drops in one round.
const DROPPED_AT_ONCE: usize = 500;

/// An outbox that is still half full after this long is not being published.
const ROOM_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// Whether all that is listed of a closed group may be settled: it was closed before, and nothing
/// of it failed since then.
pub(in crate::redrive) fn may_be_settled(record: &GroupRecord, extent: &Extent) -> bool {
    let closed = match record.phase {
        GroupPhase::Closed { since } => record.episode > 0 && extent.newest <= since,
        _ => false,
    };
    closed && record.abandon.is_none() && record.restore.is_none()
}

impl Desk<'_> {
    /// Takes note of what the ledger holds: groups open, close, are held anew, overflow.
    pub fn look(&self, state: &mut RedriveState, inventory: &Inventory) {
        if let Some(report) = &inventory.readiness {
            self.heed(state, report);
        }
        let ids: Vec<GroupId> = state.groups.keys().copied().collect();
        for id in ids {
            let Some(mut record) = state.groups.get(&id).cloned() else {
                continue;
            };
            let before = record.clone();
            if record.is_closed() && self.has_no_room(state) {
                // It opens with the next look, when what waits was published.
                continue;
            }
            self.look_at(state, &mut record, inventory.files(id));
            if record != before {
                state.groups.insert(id, record);
            }
        }
    }

    /// Whether enough waits to be told. When no topic takes anything it is no use to wait.
    fn has_no_room(&self, state: &RedriveState) -> bool {
        let waits = |at: Timestamp| self.now.duration_since(at) < ROOM_WITHIN;
        state.outbox.len() >= OUTBOX_FULL && state.outbox.first().is_some_and(|one| waits(one.at))
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
            let waits = in_job
                || record.restore.is_some()
                || record.abandon.is_some()
                || record.overflow.is_some();
            // Nothing of it is kept that a sample could take: the next sweep tells.
            if let GroupPhase::Held { next_sample_at, .. } = record.phase
                && record.overflow.is_some()
                && next_sample_at <= self.now
                && !in_job
            {
                record.phase = GroupPhase::Released { since: self.now };
            }
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
            // The planner has them held against what is settled first.
            GroupPhase::Closed { .. } if may_be_settled(record, &extent) && !record.reopens => {
                return;
            }
            GroupPhase::Closed { since } => {
                let since = *since;
                // What failed before its last job ended belongs to that job, and is mostly settled;
                // what is not arrives like the rest, if the rest did.
                let is_late = record.last_end.is_some_and(|end| extent.newest <= end);
                record.reopens = false;
                // In mode observe nobody would be told that it waits for a retry.
                let follows = self.settings.mode == RedriveMode::Automatic;
                if is_late && record.last_arrived && follows {
                    record.phase = GroupPhase::Released { since: self.now };
                } else {
                    // A cause that comes and goes is sampled ever more slowly.
                    let soon =
                        self.now.duration_since(since) <= self.settings.thresholds.sample_max;
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
        let has_more = files.iter().any(|file| file.is_from_before(asked.at));
        // What was handed over is deleted by a step of its own.
        if in_job || has_more || record.handed_over > 0 {
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
        // What failed since S3 made the manifest of a sweep is not in it: were it counted and
        // deleted now, the end of the sweep would forget it.
        let swept = state
            .jobs
            .values()
            .any(|open| open.sweeps == Some(record.group.id()));
        if extent.rows <= kept || dropping || swept {
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
        // Restored rows are dated to their return, so nobody would know when a sweep for them has
        // to begin.
        let may_be_restored = |file: &Listed| {
            record
                .restored_at
                .is_some_and(|at| file.name.oldest.timestamp() <= at)
        };
        let mut rows = 0_u64;
        let surplus: Vec<OpenName> = files
            .into_iter()
            .filter(|file| {
                // One is always kept, however large: a sample needs something to take.
                let is_first = rows == 0;
                rows = rows.saturating_add(file.name.rows);
                rows > kept && !is_first && !frozen(file) && !may_be_restored(file)
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
        record.asked = None;
        record.cause = None;
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
        record.restored_at = None;
        record.widen = 0;
        if !was_final {
            self.tell_closed(state, record);
        }
    }
}
