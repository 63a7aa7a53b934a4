//! What operators ask for, written into the document. None of it waits for whoever works.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::apply::Desk;
use super::command::SweepCommand;
use super::inventory::Inventory;
use super::job::{JobKind, Phase, SweepStatus};
use super::notice::{invoke, versions};
use super::plan::SWEEP_MARGIN;
use super::price::{self, Micros};
use super::state::{
    Asked, Breaker, GroupPhase, GroupRecord, OFFER, Offer, RedriveState, SweepWish, kind_name,
    phase_name,
};
use super::status::{Estimate, RedriveAnswer, RedriveOutcome};
use crate::announce::Event;
use crate::ledger::GroupId;
use crate::names::BucketName;
use crate::state::Hold;

/// Groups that an error lists at most.
const LISTED: usize = 10;

/// Why an operator's wish was refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Nobody knows this group.
    #[error("there is no group {group}. {known}")]
    NoGroup {
        /// What was given.
        group: GroupId,
        /// Those that there are, and how to see all.
        known: String,
    },
    /// The group's source is no member.
    #[error(
        "group {group} is of {bucket}, which is no member: no job can be created for it. Add {bucket} to Members and WorkBuckets of this deployment and send retry again, or give the group up: {abandon}"
    )]
    Foreign {
        /// The group.
        group: GroupId,
        /// Its source.
        bucket: BucketName,
        /// How to give it up.
        abandon: String,
    },
    /// The bucket is no member.
    #[error("{bucket} is no member: sweep one of {members}")]
    NoMember {
        /// What was given.
        bucket: BucketName,
        /// The members' buckets.
        members: String,
    },
    /// The confirmation is not known, or too old.
    #[error(
        "the confirmation {confirm} is not known or has expired: send the sweep without \"confirm\" again and confirm the new answer within {} minutes",
        OFFER.as_mins()
    )]
    NoOffer {
        /// What was given.
        confirm: String,
    },
    /// The confirmed call says something else than the offer.
    #[error(
        "\"{field}\" is not what was offered: leave it out, or send the sweep without \"confirm\" again"
    )]
    OtherOffer {
        /// The field.
        field: &'static str,
    },
    /// A hold would end before it begins.
    #[error("until lies in the past: a hold has to end later than now")]
    HoldInThePast,
}

/// How large a bucket is, as CloudWatch says once a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Objects, all versions.
    pub objects: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl Desk<'_> {
    /// The group must be known.
    ///
    /// # Errors
    /// [`OperatorError::NoGroup`] tells which there are.
    pub fn known(&self, state: &RedriveState, group: GroupId) -> Result<(), OperatorError> {
        if state.groups.contains_key(&group) {
            return Ok(());
        }
        let mut open: Vec<String> = state
            .groups
            .iter()
            .filter(|(_, record)| !record.is_closed() || record.handed_over > 0)
            .map(|(id, record)| {
                let group = &record.group;
                format!(
                    "{id} ({} -> {}, {})",
                    group.source, group.destination, group.reason
                )
            })
            .collect();
        let more = open.len().saturating_sub(LISTED);
        open.truncate(LISTED);
        let mut known = if open.is_empty() {
            "No group is open.".to_owned()
        } else {
            format!("Open are {}", open.join(", "))
        };
        if more > 0 {
            let _ = write!(known, " and {more} more");
        }
        let all = invoke(&json!({"command":"redrive-status"}));
        // Writing to a string cannot fail.
        let _ = write!(known, ". To see all: {all}");
        Err(OperatorError::NoGroup { group, known })
    }

    /// Creates no further job, for all or for one group.
    ///
    /// # Errors
    /// An unknown group, or an end in the past.
    pub fn set_hold(
        &self,
        state: &mut RedriveState,
        group: Option<GroupId>,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<RedriveAnswer, OperatorError> {
        if until.is_some_and(|until| until <= self.now) {
            return Err(OperatorError::HoldInThePast);
        }
        let hold = Hold {
            reason: reason.to_owned(),
            since: self.now,
            until,
        };
        let end = until.map_or_else(
            || "until it is released".to_owned(),
            |at| format!("until {at}"),
        );
        let what = match group {
            None => {
                state.hold = Some(hold);
                "no re-drive job".to_owned()
            }
            Some(id) => {
                self.known(state, id)?;
                if let Some(record) = state.groups.get_mut(&id) {
                    record.hold = Some(hold);
                }
                format!("no re-drive job of group {id}")
            }
        };
        let begun = state.jobs.values().filter(|open| {
            let tried = matches!(open.job.phase, Phase::Create { tried: true, .. });
            tried && state.is_stopped(open, self.settings.mode, self.now)
        });
        let begun: Vec<&str> = begun.map(|open| open.job.name.as_str()).collect();
        let begun = match begun.as_slice() {
            [] => String::new(),
            names => format!(
                " S3 may have been asked for {} at this very moment: that is looked for, and followed if it exists.",
                names.join(", ")
            ),
        };
        let explanation = format!(
            "Held {end}: {what} is created ({reason}). Failures are still collected, and jobs that S3 already runs are followed to their end.{begun}"
        );
        self.tell_operator(
            state,
            Event::RedriveHeld,
            &format!("re-drives held: {reason}"),
            &explanation,
            group,
        );
        Ok(RedriveAnswer::plain(RedriveOutcome::Held, explanation))
    }

    /// Ends a hold; that for all closes the breaker, too.
    ///
    /// # Errors
    /// An unknown group.
    pub fn lift_hold(
        &self,
        state: &mut RedriveState,
        group: Option<GroupId>,
        reason: &str,
    ) -> Result<RedriveAnswer, OperatorError> {
        let (hold, breaker) = match group {
            None => {
                let was_open = state.breaker.open.is_some();
                state.breaker = Breaker::default();
                (state.hold.take(), was_open)
            }
            Some(id) => {
                self.known(state, id)?;
                let record = state.groups.get_mut(&id);
                (record.and_then(|record| record.hold.take()), false)
            }
        };
        let hold = hold.filter(|hold| hold.is_active(self.now));
        let mut others = self.holds(state, group);
        if let Some(open) = &state.breaker.open {
            others.push(format!(
                "The breaker is open until {}, and only what you send retry for is re-driven; to close it: {}",
                open.until,
                release(None)
            ));
        }

        let mut sentences = Vec::new();
        if let Some(hold) = &hold {
            sentences.push(format!(
                "The hold of {} ({}) is lifted ({reason}).",
                hold.since, hold.reason
            ));
        }
        if breaker {
            sentences.push(format!(
                "The breaker is closed: jobs are created again ({reason})."
            ));
        }
        if sentences.is_empty() {
            sentences.push(match group {
                None => "No hold for all was set, and the breaker was closed.".to_owned(),
                Some(id) => format!("No hold of group {id} alone was set."),
            });
            sentences.extend(others);
            return Ok(RedriveAnswer::plain(
                RedriveOutcome::NoChange,
                sentences.join(" "),
            ));
        }
        sentences.extend(others);
        let explanation = sentences.join(" ");
        self.tell_operator(
            state,
            Event::RedriveReleased,
            &format!("re-drives go on: {reason}"),
            &explanation,
            group,
        );
        Ok(RedriveAnswer::plain(RedriveOutcome::Released, explanation))
    }

    /// The holds that keep jobs from being created, and exactly what to send against them: for one
    /// group, or for all.
    fn holds(&self, state: &RedriveState, group: Option<GroupId>) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(hold) = state.active_hold(self.now) {
            sentences.push(format!(
                "All re-drives are held since {} ({}); to end that: {}",
                hold.since,
                hold.reason,
                release(None)
            ));
        }
        let own = state.groups.iter().filter_map(|(id, record)| {
            let hold = record.active_hold(self.now)?;
            let concerns = group.is_none_or(|only| only == *id);
            concerns.then(|| {
                format!(
                    "Group {id} is held by itself since {} ({}); to end that: {}",
                    hold.since,
                    hold.reason,
                    release(Some(*id))
                )
            })
        });
        sentences.extend(own.take(LISTED));
        sentences
    }

    /// What a job for this source waits for, if it does not begin with the next tick. `group` is
    /// the one that it is for, if it is for one.
    fn waits_for(
        &self,
        state: &RedriveState,
        source: &BucketName,
        group: Option<GroupId>,
    ) -> Option<String> {
        let mut reasons = Vec::new();
        if let Some(open) = state.lane(source) {
            let until = open
                .wait_until
                .filter(|until| *until > self.now)
                .map_or_else(String::new, |until| format!(", looked at again at {until}"));
            reasons.push(format!(
                "job {} is over ({} since {}, now in phase {}{until}), because only one at a time re-drives from {source}",
                open.job.name,
                kind_name(&open.job.kind),
                open.job.planned_at,
                phase_name(&open.job.phase),
            ));
        } else if state.jobs_of_s3() >= self.settings.thresholds.jobs {
            reasons.push(format!(
                "one of the {} open jobs is over, because REDRIVE_JOBS allows no more",
                state.jobs_of_s3()
            ));
        }
        let others = state.groups.iter().filter(|(id, record)| {
            let is_due = matches!(record.phase, GroupPhase::Held { next_sample_at, .. } if next_sample_at <= self.now);
            is_due && record.asked.is_some() && record.group.source == *source && group != Some(**id)
        });
        let before = others.count()
            + state
                .sweeps
                .iter()
                .filter(|wish| wish.source == *source)
                .count();
        if before > 0 {
            reasons.push(format!(
                "{before} others that were asked for before and come from {source} are done"
            ));
        }
        (!reasons.is_empty()).then(|| reasons.join(", and "))
    }

    /// The cause is gone, an operator says: sample now, and bring back what was handed over.
    ///
    /// # Errors
    /// An unknown group, or one whose source is no member.
    pub fn retry(
        &self,
        state: &mut RedriveState,
        inventory: &Inventory,
        group: GroupId,
        reason: &str,
    ) -> Result<RedriveAnswer, OperatorError> {
        self.known(state, group)?;
        let Some(known) = state.groups.get(&group) else {
            return Ok(RedriveAnswer::plain(RedriveOutcome::NoChange, ""));
        };
        let source = known.group.source.clone();
        if self.settings.region_of(&source).is_none() {
            return Err(OperatorError::Foreign {
                group,
                bucket: source,
                abandon: invoke(
                    &json!({"command":"abandon","group":group,"reason":"no member any more"}),
                ),
            });
        }
        if let Some(blocked) = self.blocked(state, known) {
            return Ok(RedriveAnswer::plain(RedriveOutcome::Blocked, blocked));
        }
        let waits = self.waits_for(state, &source, Some(group));
        let Some(record) = state.groups.get_mut(&group) else {
            return Ok(RedriveAnswer::plain(RedriveOutcome::NoChange, ""));
        };
        let asked = Asked {
            at: self.now,
            reason: reason.to_owned(),
        };
        let rows = inventory.extent(group).map_or(0, |extent| extent.rows);
        let back = record.handed_over;
        if rows == 0 && back == 0 && record.overflow.is_none() {
            return Ok(RedriveAnswer::plain(
                RedriveOutcome::NoChange,
                format!("Nothing of group {group} is open, and nothing of it was handed over."),
            ));
        }
        record.asked = Some(asked.clone());
        let given_up = match record.abandon.take() {
            Some(word) => format!(
                " That they were to be given up ({}) is taken back; what was settled so before stays so.",
                word.reason
            ),
            None => String::new(),
        };
        record.widen = 0;
        // A job of it that was begun before is asked for, too.
        for open in state.jobs.values_mut() {
            if open.sweeps == Some(group) || open.has(&record.group) {
                open.asked = true;
            }
        }
        if back > 0 && record.restore.is_none() {
            record.restored_at = Some(asked.at);
            record.restore = Some(asked);
        }
        let when = waits.map_or_else(
            || "at the next tick".to_owned(),
            |waits| format!("as soon as {waits}"),
        );
        let next = match record.phase.clone() {
            GroupPhase::Sampled { job, .. } => {
                let phase = state.jobs.get(&job).map(|open| phase_name(&open.job.phase));
                format!(
                    "A sample is under way already (job {job}, in phase {}); if it arrives, the rest follows.",
                    phase.unwrap_or("close")
                )
            }
            GroupPhase::Released { .. } => {
                format!("A sample arrived before: what is open is re-driven {when}.")
            }
            phase => {
                record.phase = GroupPhase::Held {
                    since: match phase {
                        GroupPhase::Held { since, .. } => since,
                        _ => self.now,
                    },
                    next_sample_at: self.now,
                };
                format!("A sample is re-driven {when}; if it arrives, the rest follows.")
            }
        };
        let brought = if back > 0 {
            format!(" {} that were handed over come back first.", versions(back))
        } else {
            String::new()
        };
        let explanation = format!(
            "{next}{given_up}{brought} {} are open in group {group}; to re-drive them all costs about {}. Neither the mode nor the breaker nor the day's budget stands in the way of what you asked for ({reason}).",
            versions(rows),
            price::job(rows.saturating_add(back))
        );
        self.tell_operator(
            state,
            Event::RedriveAsked,
            &format!("retry of group {group}: {reason}"),
            &explanation,
            Some(group),
        );
        Ok(RedriveAnswer::plain(RedriveOutcome::Retrying, explanation))
    }

    /// Why a retry of this group has to wait until something was done or is over, and what to send.
    fn blocked(&self, state: &RedriveState, record: &GroupRecord) -> Option<String> {
        let group = record.group.id();
        let retry = || invoke(&json!({"command":"retry","group":group,"reason":"…"}));
        let held = state.active_hold(self.now).is_some() || record.active_hold(self.now).is_some();
        if held {
            let mut sentences = self.holds(state, Some(group));
            sentences.push(format!("After that send retry again: {}", retry()));
            return Some(sentences.join(" "));
        }
        // Files of it may be half deleted or half settled: that cannot be taken back.
        let settling = state.jobs.values().find_map(|open| match open.job.kind {
            JobKind::Settle { how } if open.has(&record.group) => Some((&open.job.name, how)),
            _ => None,
        });
        if let Some((job, how)) = settling {
            return Some(format!(
                "Job {job} is settling versions of group {group} as {how}, and goes on: those are not re-driven. It takes minutes; for what is left then, or was handed over by it, send retry again: {}",
                retry()
            ));
        }
        let forgets = record.handed_over > 0 && !state.is_in_job(&record.group);
        record.abandon.as_ref().filter(|_| forgets).map(|word| {
            format!(
                "The group is being given up since {} ({}), and what was handed over of it is deleted at this moment: that goes on. It takes minutes; for what fails after that send retry again: {}",
                word.at,
                word.reason,
                retry()
            )
        })
    }

    /// Gives up what is open of a group.
    ///
    /// # Errors
    /// An unknown group.
    pub fn abandon(
        &self,
        state: &mut RedriveState,
        inventory: &Inventory,
        group: GroupId,
        reason: &str,
    ) -> Result<RedriveAnswer, OperatorError> {
        self.known(state, group)?;
        let in_job = state
            .groups
            .get(&group)
            .is_some_and(|record| state.is_in_job(&record.group));
        let Some(record) = state.groups.get_mut(&group) else {
            return Ok(RedriveAnswer::plain(RedriveOutcome::NoChange, ""));
        };
        let rows = inventory.extent(group).map_or(0, |extent| extent.rows);
        let given_back = record.handed_over;
        if rows == 0 && given_back == 0 && record.overflow.is_none() && !in_job {
            return Ok(RedriveAnswer::plain(
                RedriveOutcome::NoChange,
                format!("Nothing of group {group} is open."),
            ));
        }
        record.restore = None;
        record.abandon = Some(Asked {
            at: self.now,
            reason: reason.to_owned(),
        });
        let waits = if in_job {
            " A job has some of them at the moment: what comes back from it is given up, too."
        } else {
            ""
        };
        let explanation = format!(
            "{} of group {group} are given up ({reason}): they stay in the source and are missing in the destination. The next ticks settle them, and a message follows.{waits}",
            versions(rows.saturating_add(given_back))
        );
        Ok(RedriveAnswer::plain(
            RedriveOutcome::Abandoning,
            explanation,
        ))
    }

    /// What an operator wants swept.
    ///
    /// # Errors
    /// An unknown group, or a source that is no member.
    pub fn wish(
        &self,
        state: &RedriveState,
        inventory: &Inventory,
        command: &SweepCommand,
    ) -> Result<SweepWish, OperatorError> {
        let mut created_after = command.created_after;
        let source = match (&command.group, &command.source) {
            (Some(group), _) => {
                self.known(state, *group)?;
                let record = state.groups.get(group);
                let oldest = inventory.extent(*group).map(|extent| extent.oldest);
                let counted = record
                    .and_then(|record| record.overflow.as_ref())
                    .map(|overflow| overflow.oldest);
                created_after = created_after.or_else(|| {
                    let first = oldest.into_iter().chain(counted).min()?;
                    first.checked_sub(SWEEP_MARGIN).ok()
                });
                record.map(|record| record.group.source.clone())
            }
            (None, source) => source.clone(),
        };
        let source = source.unwrap_or_else(|| self.settings.members.home().bucket.clone());
        if self.settings.region_of(&source).is_none() {
            let members: Vec<&str> = self
                .settings
                .members
                .iter()
                .map(|member| member.bucket.as_str())
                .collect();
            return Err(OperatorError::NoMember {
                bucket: source,
                members: members.join(", "),
            });
        }
        Ok(SweepWish {
            source,
            group: command.group,
            statuses: command
                .statuses
                .clone()
                .unwrap_or_else(|| [SweepStatus::Failed].into()),
            created_after,
            in_bucket: None,
            asked: Asked {
                at: self.now,
                reason: command.reason.clone(),
            },
        })
    }

    /// Says what a sweep would take, and keeps the offer.
    pub fn offer(
        &self,
        state: &mut RedriveState,
        wish: &SweepWish,
        measured: Measured,
    ) -> RedriveAnswer {
        let mut wish = wish.clone();
        wish.in_bucket = measured.objects;
        let statuses: Vec<&str> = wish.statuses.iter().map(|status| status.as_str()).collect();
        let id = offer_id(&wish, self.request_id);
        let expires = self.now.checked_add(OFFER).unwrap_or(Timestamp::MAX);
        state.offers.retain(|offer| offer.id != id);
        state.offers.push(Offer {
            id: id.clone(),
            expires,
            wish: wish.clone(),
        });
        let least = price::sweep(0, measured.objects.unwrap_or_default());
        let most = measured
            .objects
            .map(|objects| price::sweep(objects, objects));
        let size = match (measured.objects, measured.bytes) {
            (Some(objects), Some(bytes)) => format!(
                "CloudWatch's daily figures for {} are {objects} objects and {bytes} bytes, all versions; the job takes those of them that match.",
                wish.source
            ),
            (Some(objects), None) => format!(
                "CloudWatch's daily figure for {} is {objects} objects, all versions; the job takes those of them that match. How many bytes they have is not known.",
                wish.source
            ),
            (None, _) => format!(
                "How many objects {} holds is not known: CloudWatch has no daily figure for it (they appear a day or two after a bucket's first object).",
                wish.source
            ),
        };
        let cost = match most {
            Some(most) => format!("The job costs between {least} and {most}"),
            None => format!(
                "The job costs {least}, $1.00 for every million objects that match and $0.015 for every million in the bucket"
            ),
        };
        let after = wish.created_after.map_or_else(
            || "whenever created".to_owned(),
            |at| format!("created after {at}"),
        );
        let unheld = if state.active_hold(self.now).is_some() {
            " A hold is set: it begins when that is released."
        } else {
            ""
        };
        let explanation = format!(
            "This would have S3 replicate every object version in {} with replication status {}, {after}, by whatever rules match. {size} {cost}, besides what the copying costs: a request and the transfer for each version and destination. Nothing was started.{unheld} To start it within {} minutes: {}",
            wish.source,
            statuses.join(" or "),
            OFFER.as_mins(),
            invoke(&json!({"command":"sweep","confirm":id,"reason":wish.asked.reason}))
        );
        RedriveAnswer {
            estimate: Some(Estimate {
                source: wish.source,
                objects: measured.objects,
                bytes: measured.bytes,
                dollars_at_most: most.map(Micros::as_dollars),
                dollars_at_least: least.as_dollars(),
                confirm: id,
                expires,
            }),
            ..RedriveAnswer::plain(RedriveOutcome::NeedsConfirmation, explanation)
        }
    }

    /// Starts a sweep that was offered.
    ///
    /// # Errors
    /// A confirmation that is not known or too old, or fields that say something else.
    pub fn confirm(
        &self,
        state: &mut RedriveState,
        confirm: &str,
        command: &SweepCommand,
    ) -> Result<RedriveAnswer, OperatorError> {
        let position = state
            .offers
            .iter()
            .position(|offer| offer.id == confirm && self.now < offer.expires)
            .ok_or_else(|| OperatorError::NoOffer {
                confirm: confirm.to_owned(),
            })?;
        let mut wish = state
            .offers
            .get(position)
            .map(|offer| offer.wish.clone())
            .ok_or_else(|| OperatorError::NoOffer {
                confirm: confirm.to_owned(),
            })?;
        let other = |field| Err(OperatorError::OtherOffer { field });
        if command
            .source
            .as_ref()
            .is_some_and(|given| *given != wish.source)
        {
            return other("source");
        }
        if command.group.is_some() && command.group != wish.group {
            return other("group");
        }
        if command
            .statuses
            .as_ref()
            .is_some_and(|given| *given != wish.statuses)
        {
            return other("statuses");
        }
        if command.created_after.is_some() && command.created_after != wish.created_after {
            return other("createdAfter");
        }
        state.offers.remove(position);
        wish.asked = Asked {
            at: self.now,
            reason: command.reason.clone(),
        };
        let (source, group) = (wish.source.clone(), wish.group);
        let waits = self.waits_for(state, &source, None);
        let when = waits.map_or_else(
            || "at the next tick".to_owned(),
            |waits| format!("as soon as {waits}"),
        );
        state.sweeps.push(wish);
        let mut explanation = format!(
            "The sweep of {source} begins {when} ({}); a message follows when it is over.",
            command.reason
        );
        let own = group.and_then(|id| state.groups.get(&id));
        let is_held = own.is_some_and(|record| record.active_hold(self.now).is_some());
        if is_held || state.active_hold(self.now).is_some() {
            explanation.push_str(" But a hold is in the way, and it waits for its end. ");
            let sentences = match group {
                Some(_) => self.holds(state, group),
                None => self.holds(state, None).into_iter().take(1).collect(),
            };
            explanation.push_str(&sentences.join(" "));
        }
        self.tell_operator(
            state,
            Event::RedriveAsked,
            &format!("sweep of {source}: {}", command.reason),
            &explanation,
            None,
        );
        Ok(RedriveAnswer::plain(RedriveOutcome::Sweeping, explanation))
    }
}

/// The command that ends a hold: of one group, or for all.
fn release(group: Option<GroupId>) -> String {
    invoke(&match group {
        None => json!({"command":"redrive-release","reason":"…"}),
        Some(id) => json!({"command":"redrive-release","group":id,"reason":"…"}),
    })
}

/// What a sweep is confirmed with: of everything that it means, so that no other is started by it.
fn offer_id(wish: &SweepWish, request_id: &str) -> String {
    let text = serde_json::to_string(wish).unwrap_or_default();
    let digest = Sha256::digest(format!("{request_id}\0{text}"));
    digest.iter().take(6).fold(String::new(), |mut id, byte| {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}
