//! The minute's turn: look, claim, work, tell.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use sentinel_core::announce::OUTBOX_FULL;
use sentinel_core::answer::FailedTopic;
use sentinel_core::ledger::Group;
use sentinel_core::redrive::apply::Happening;
use sentinel_core::redrive::inventory::Inventory;
use sentinel_core::redrive::plan::{Plan, Step, plan};
use sentinel_core::redrive::state::{RedriveClaim, RedriveState, kind_name, phase_name};
use sentinel_core::redrive::status::{RedriveAnswer, RedriveOutcome};
use serde_json::{Value, json};

use crate::error::Error;
use crate::record::Record;
use crate::step::name_of;
use crate::turn::{Turn, later};

/// With less time than this left no further step is begun.
const LEAST: SignedDuration = SignedDuration::from_secs(9);

/// What a turn came to.
#[derive(Default)]
struct Done {
    steps: usize,
    would: Vec<String>,
    errors: Vec<Error>,
    /// Topics that failed although others did not.
    failed_topics: Vec<FailedTopic>,
    /// Publishing failed: it is tried once more at the end.
    is_unheard: bool,
}

impl Turn<'_> {
    /// Does what is due.
    pub(crate) async fn tick(&self) -> Result<RedriveAnswer, Error> {
        let result = Box::pin(self.try_tick()).await;
        if let Err(error) = &result {
            self.page_lost(error).await;
        }
        result
    }

    async fn try_tick(&self) -> Result<RedriveAnswer, Error> {
        let mut record = self.load().await?;
        if let Some(answer) = self.busy(&record.state) {
            return Ok(answer);
        }
        let inventory = self.inventory().await?;
        let (looked, due) = self.preview(&record.state, &inventory);
        if due.steps.is_empty() && looked == record.state && looked.outbox.is_empty() {
            self.measure(&record.state, &inventory);
            return Ok(idle(due));
        }
        if !self.claim(&mut record).await? {
            let answer = self.busy(&record.state);
            return answer.ok_or(Error::Contended);
        }
        let mut done = Done::default();
        let before = record.state.totals;
        let worked = self.work_off(&mut record, inventory, &mut done).await;
        let told = match &worked {
            // Whoever took over publishes.
            Err(Error::TakenOver) => return Err(Error::TakenOver),
            _ => self.publish_outbox(&mut record).await,
        };
        let given_up = self.give_claim_up(&mut record).await;
        self.measure_turn(&before, &record.state.totals);
        worked?;
        let mut failed_topics = told?;
        given_up?;
        for topic in done.failed_topics {
            if !failed_topics.contains(&topic) {
                failed_topics.push(topic);
            }
        }
        match done.errors.as_slice() {
            [] => Ok(RedriveAnswer {
                would: done.would,
                failed_topics,
                ..RedriveAnswer::plain(
                    RedriveOutcome::Worked,
                    format!("{} steps were done.", done.steps),
                )
            }),
            [_] => Err(done.errors.remove(0)),
            [first, ..] => Err(Error::Several {
                count: done.errors.len(),
                first: first.chain(),
            }),
        }
    }

    fn busy(&self, state: &RedriveState) -> Option<RedriveAnswer> {
        // This invocation claims only afterwards: whatever the name, it is somebody else's.
        let now = self.now();
        let claim = state.claim.as_ref().filter(|claim| now <= claim.expires)?;
        Some(RedriveAnswer::plain(
            RedriveOutcome::Busy,
            format!(
                "Invocation {} works since {}; the next tick looks again.",
                claim.request_id, claim.claimed_at
            ),
        ))
    }

    /// What the listing means, and what is to be done about it.
    fn preview(&self, state: &RedriveState, inventory: &Inventory) -> (RedriveState, Plan) {
        let desk = self.desk();
        let mut looked = state.clone();
        desk.look(&mut looked, inventory);
        let due = plan(&looked, inventory, desk.settings, desk.now);
        (looked, due)
    }

    /// Takes the work, unless somebody else has it by now.
    async fn claim(&self, record: &mut Record) -> Result<bool, Error> {
        let (now, expires) = (self.now(), self.claim_expires());
        self.change(record, |desk, state| {
            // Any claim: this invocation has none yet, whatever the name of that one.
            let taken = state.claim.as_ref();
            if taken.is_some_and(|claim| desk.now <= claim.expires) {
                return Ok(false);
            }
            state.claim = Some(RedriveClaim {
                request_id: self.claimant.clone(),
                claimed_at: now,
                expires,
            });
            Ok(true)
        })
        .await
    }

    async fn give_claim_up(&self, record: &mut Record) -> Result<(), Error> {
        self.change(record, |_, state| {
            let ours = state
                .claim
                .as_ref()
                .is_some_and(|claim| claim.request_id == self.claimant);
            if ours {
                state.claim = None;
            }
            Ok(())
        })
        .await
    }

    /// Does one step after the other until nothing is due or the time is up. A step that fails
    /// does not keep the others from being done.
    async fn work_off(
        &self,
        record: &mut Record,
        mut inventory: Inventory,
        done: &mut Done,
    ) -> Result<(), Error> {
        let mut failed = BTreeSet::new();
        let mut turns: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            self.change(record, |desk, state| {
                if state.foreign_claim(&self.claimant, desk.now).is_some() {
                    return Err(Error::TakenOver);
                }
                desk.look(state, &inventory);
                Ok(())
            })
            .await?;
            if record.state.outbox.len() >= OUTBOX_FULL && !done.is_unheard {
                self.publish_meanwhile(record, done).await?;
                // What was kept back for want of room comes with the next look.
                continue;
            }
            let due = plan(&record.state, &inventory, &self.deps.settings, self.now());
            done.would = due.would;
            // In turn, so that a job of many slices does not keep the others waiting.
            let next = due
                .steps
                .into_iter()
                .filter(|step| !failed.contains(&name_of(step)))
                .min_by_key(|step| turns.get(&name_of(step)).copied().unwrap_or_default());
            let Some(step) = next else {
                break;
            };
            if later(self.now(), LEAST) > self.end {
                break;
            }
            let is_unsaid = !record.state.outbox.is_empty() && !done.is_unheard;
            if takes_time(&step) && is_unsaid {
                // Nobody waits for a page until the work of a whole turn is done.
                self.publish_meanwhile(record, done).await?;
                continue;
            }
            let what = name_of(&step);
            *turns.entry(what.clone()).or_default() += 1;
            match Box::pin(self.carry_out(record, &step)).await {
                Ok(()) => {
                    done.steps += 1;
                    self.info(&what, &facts(&step, &record.state));
                    if record.state.problems.contains_key(&what) {
                        self.record(record, &Happening::Mended { what }).await?;
                    }
                }
                Err(error) if error.ends_the_turn() => return Err(error),
                Err(error) => {
                    self.warn(&format!("{what} failed"), &error.chain());
                    if !matches!(step, Step::Work { .. } | Step::Find { .. }) {
                        let troubled = Happening::Troubled {
                            what: what.clone(),
                            error: error.chain(),
                        };
                        self.record(record, &troubled).await?;
                    }
                    failed.insert(what);
                    done.errors.push(error);
                }
            }
            if changes_the_ledger(&step) {
                let before = std::mem::replace(&mut inventory, self.inventory().await?);
                if keeps_files_few(&step) && before == inventory {
                    // It could do nothing, and would do the same again.
                    failed.insert(name_of(&step));
                }
            }
        }
        self.measure(&record.state, &inventory);
        Ok(())
    }

    /// Publishes before the turn is over. If that fails it is tried once more at its end.
    async fn publish_meanwhile(&self, record: &mut Record, done: &mut Done) -> Result<(), Error> {
        match self.publish_outbox(record).await {
            Ok(topics) => done.failed_topics.extend(topics),
            Err(error) if error.ends_the_turn() => return Err(error),
            Err(error) => {
                self.warn("publishing failed", &error.chain());
                done.is_unheard = true;
            }
        }
        Ok(())
    }
}

/// Whether a step may take long, all others do a request or two.
fn takes_time(step: &Step) -> bool {
    !matches!(
        step,
        Step::Learn { .. }
            | Step::Discard { .. }
            | Step::Plan { .. }
            | Step::TellBudget { .. }
            | Step::Size { .. }
    )
}

/// What the log says of a step besides its name.
fn facts(step: &Step, state: &RedriveState) -> Value {
    match step {
        Step::Plan { open, cost } => json!({
            "job": open.job.name,
            "kind": kind_name(&open.job.kind),
            "groups": open.job.groups.iter().map(Group::id).collect::<Vec<_>>(),
            "inputs": open.job.inputs.len(),
            "limit": open.job.limit,
            "cost": cost.as_dollars(),
        }),
        // Where it stands now; a job that is closed stands nowhere.
        Step::Work { job } => json!({
            "job": job,
            "phase": state.jobs.get(job).map(|open| phase_name(&open.job.phase)),
            "progress": state.jobs.get(job).and_then(|open| open.progress.as_ref()),
        }),
        Step::Compact { group, files } | Step::Weigh { group, files } => {
            json!({"group": group, "files": files.len()})
        }
        Step::TellBudget { what, cost } => json!({"what": what, "cost": cost.as_dollars()}),
        _ => json!({}),
    }
}

/// Whether it is a step that has to show in the listing.
fn keeps_files_few(step: &Step) -> bool {
    matches!(step, Step::Compact { .. } | Step::CompactSettled { .. })
}

/// Whether the ledger may look otherwise afterwards.
fn changes_the_ledger(step: &Step) -> bool {
    !matches!(
        step,
        Step::Size { .. }
            | Step::Plan { .. }
            | Step::TellBudget { .. }
            | Step::Discard { .. }
            | Step::Find { .. }
            | Step::Forget { .. }
    )
}

fn idle(due: Plan) -> RedriveAnswer {
    if due.would.is_empty() {
        RedriveAnswer::plain(RedriveOutcome::Idle, "There is nothing to do.")
    } else {
        RedriveAnswer {
            would: due.would,
            ..RedriveAnswer::plain(
                RedriveOutcome::WouldAct,
                "REDRIVE is observe: no job is created unless an operator asks for it.",
            )
        }
    }
}
