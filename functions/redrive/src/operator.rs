//! Operators' commands. None of them waits for whoever works.

use jiff::SignedDuration;
use sentinel_aws::size::bucket_size;
use sentinel_core::ledger::GroupId;
use sentinel_core::redrive::apply::{Desk, Happening};
use sentinel_core::redrive::command::{RedriveCommand, SweepCommand};
use sentinel_core::redrive::inventory::Inventory;
use sentinel_core::redrive::operator::{Measured, OperatorError};
use sentinel_core::redrive::state::RedriveState;
use sentinel_core::redrive::status::{RedriveAnswer, RedriveOutcome, status};
use serde_json::Value;

use crate::error::Error;
use crate::record::Record;
use crate::turn::Turn;

/// Without the document nobody knows what was told: it is said again after this long.
const REMIND: SignedDuration = SignedDuration::from_hours(1);

/// The collector's document about lag.
const LAG_KEY: &str = "lag.json";

impl Turn<'_> {
    /// Carries out an operator's command.
    pub(crate) async fn operate(&self, command: RedriveCommand) -> Result<RedriveAnswer, Error> {
        match command {
            RedriveCommand::Tick => Box::pin(self.tick()).await,
            RedriveCommand::Status { group } => self.status(group).await,
            RedriveCommand::Hold {
                group,
                reason,
                until,
            } => {
                self.decree(group, |desk, state, _| {
                    desk.set_hold(state, group, &reason, until)
                })
                .await
            }
            RedriveCommand::Release { group, reason } => {
                self.decree(group, |desk, state, _| {
                    desk.lift_hold(state, group, &reason)
                })
                .await
            }
            RedriveCommand::Retry { group, reason } => {
                self.decree(Some(group), |desk, state, inventory| {
                    desk.retry(state, inventory, group, &reason)
                })
                .await
            }
            RedriveCommand::Abandon { group, reason } => {
                self.decree(Some(group), |desk, state, inventory| {
                    desk.abandon(state, inventory, group, &reason)
                })
                .await
            }
            RedriveCommand::Sweep(command) => self.sweep(&command).await,
        }
    }

    /// Changes the document by an operator's word, and tells everybody.
    async fn decree(
        &self,
        group: Option<GroupId>,
        mut change: impl FnMut(
            &Desk<'_>,
            &mut RedriveState,
            &Inventory,
        ) -> Result<RedriveAnswer, OperatorError>,
    ) -> Result<RedriveAnswer, Error> {
        let mut record = self.load().await?;
        let inventory = match group {
            Some(_) => self.inventory().await?,
            None => Inventory::default(),
        };
        self.get_to_know(&mut record, &inventory, group).await?;
        let mut answer = self
            .change(&mut record, |desk, state| {
                Ok(change(desk, state, &inventory)?)
            })
            .await?;
        // What others left in the outbox is the worker's to publish, if one works.
        if record
            .state
            .foreign_claim(&self.claimant, self.now())
            .is_none()
        {
            answer.failed_topics = self.publish_outbox(&mut record).await?;
        }
        Ok(answer)
    }

    /// An operator may name a group that no tick has seen yet.
    async fn get_to_know(
        &self,
        record: &mut Record,
        inventory: &Inventory,
        group: Option<GroupId>,
    ) -> Result<(), Error> {
        let Some(group) = group else {
            return Ok(());
        };
        if record.state.groups.contains_key(&group) {
            return Ok(());
        }
        let Some(file) = inventory.files(group).first() else {
            return Ok(());
        };
        let Some(learnt @ Happening::Learnt(_)) = self.learn(group, &file.name).await? else {
            return Ok(());
        };
        self.change(record, |desk, state| {
            desk.apply(state, &learnt);
            // Only this group: the tick sees to all others.
            let only = Inventory {
                open: [(group, inventory.files(group).to_vec())].into(),
                ..Inventory::default()
            };
            let mut alone = RedriveState {
                groups: state
                    .groups
                    .iter()
                    .filter(|(id, _)| **id == group)
                    .map(|(id, known)| (*id, known.clone()))
                    .collect(),
                ..state.clone()
            };
            desk.look(&mut alone, &only);
            state.groups.extend(alone.groups);
            state.outbox = alone.outbox;
            state.problems = alone.problems;
            Ok(())
        })
        .await
    }

    async fn status(&self, group: Option<GroupId>) -> Result<RedriveAnswer, Error> {
        let record = self.load().await?;
        let inventory = self.inventory().await?;
        // As the next tick will see it.
        let desk = self.desk();
        let mut state = record.state;
        if let Some(group) = group {
            if !state.groups.contains_key(&group)
                && let Some(file) = inventory.files(group).first()
                && let Some(learnt) = self.learn(group, &file.name).await?
            {
                // A tick has not seen it yet; it will, and only that is written down.
                desk.apply(&mut state, &learnt);
            }
            desk.known(&state, group)?;
        }
        desk.look(&mut state, &inventory);
        let lag = match self.deps.store.load_optional::<Value>(LAG_KEY).await {
            Ok(found) => found.map(|(document, _)| document),
            Err(error) => {
                self.warn("the lag is not known", &error);
                None
            }
        };
        let now = self.now();
        let status = status(&state, &inventory, &self.deps.settings, group, lag, now);
        Ok(RedriveAnswer {
            status: Some(Box::new(status.clone())),
            ..RedriveAnswer::plain(RedriveOutcome::Status, status.explanation())
        })
    }

    async fn sweep(&self, command: &SweepCommand) -> Result<RedriveAnswer, Error> {
        if let Some(confirm) = &command.confirm {
            return self
                .decree(None, |desk, state, _| desk.confirm(state, confirm, command))
                .await;
        }
        let mut record = self.load().await?;
        let inventory = self.inventory().await?;
        self.get_to_know(&mut record, &inventory, command.group)
            .await?;
        let wish = self.desk().wish(&record.state, &inventory, command)?;
        let member = self.deps.settings.members.with_bucket(wish.source.as_str());
        let measured = match member {
            None => Measured::default(),
            Some(member) => bucket_size(&self.deps.edge, member, self.now(), self.end)
                .await
                .unwrap_or_else(|error| {
                    self.warn("the size of the bucket is not known", &error);
                    Measured::default()
                }),
        };
        self.change(&mut record, |desk, state| {
            Ok(desk.offer(state, &wish, measured))
        })
        .await
    }

    /// Pages when the document was deleted or cannot be read: nothing else could.
    pub(crate) async fn page_lost(&self, error: &Error) {
        if !matches!(error, Error::Deleted { .. } | Error::State { .. }) {
            return;
        }
        let now = self.now();
        let due = self.deps.paged_lost.lock().is_ok_and(|mut told| {
            let due = told.is_none_or(|told| now.duration_since(told) >= REMIND);
            if due {
                *told = Some(now);
            }
            due
        });
        if due {
            let page = self.desk().lost(&error.chain());
            let nobody = self.publish(&[page]).await.taken.is_empty();
            if nobody && let Ok(mut told) = self.deps.paged_lost.lock() {
                // Nobody was told: the next invocation tries again.
                *told = None;
            }
        }
    }
}
