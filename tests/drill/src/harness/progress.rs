//! What a spectator is told of the re-drive: read off the document that the function keeps.

use std::collections::BTreeMap;

use sentinel_core::ledger::GroupId;
use sentinel_core::redrive::state::{GroupRecord, REDRIVE_KEY, RedriveState, kind_name};
use simulator::World;

use super::spectator::{Kind, Spectator};
use crate::STATE_BUCKET;
use crate::backlog::label;
use crate::history::Function;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    version: String,
    phases: BTreeMap<GroupId, &'static str>,
    jobs: BTreeMap<String, u64>,
}

impl Progress {
    /// Tells what is new.
    pub(super) fn look(&mut self, world: &World, spectator: &Spectator) {
        let Some(object) = world.object(STATE_BUCKET, REDRIVE_KEY) else {
            return;
        };
        if *object.version_id == *self.version {
            return;
        }
        self.version = object.version_id.to_string();
        let document = serde_json::from_slice(&object.body).ok();
        let mrap = crate::mrap_arn().parse().ok();
        let state = document
            .zip(mrap)
            .and_then(|(document, mrap)| RedriveState::parse(document, &mrap).ok());
        let Some(state) = state else { return };
        let tell = |text: String| {
            spectator.tell(
                object.last_modified,
                Kind::Function(Function::Redrive),
                text,
            );
        };
        for (id, record) in &state.groups {
            let phase = record.phase.as_str();
            if self.phases.insert(*id, phase) != Some(phase) {
                tell(format!("{}: {}", label(&record.group), words(record)));
            }
        }
        for (name, open) in &state.jobs {
            let Some(objects) = running(open) else {
                continue;
            };
            if self.jobs.insert(name.to_string(), objects).is_none() {
                let kind = kind_name(&open.job.kind);
                let source = &open.job.source;
                tell(format!(
                    "a {kind} job of {objects} versions of {source} runs"
                ));
            }
        }
    }
}

/// How many versions a job of S3 has, once it runs.
fn running(open: &sentinel_core::redrive::state::OpenJob) -> Option<u64> {
    use sentinel_core::redrive::job::Phase;
    match &open.job.phase {
        Phase::Poll { gathered, .. } => Some(gathered.rows.iter().sum()),
        _ => None,
    }
}

fn words(record: &GroupRecord) -> String {
    let phase = record.phase.as_str();
    match phase {
        "closed" => format!(
            "closed, {} arrived, {} settled with a final reason, {} given to a person",
            record.replicated, record.finals, record.handed_over
        ),
        _ => phase.to_owned(),
    }
}
