//! Plays the script: makes trouble, acts for operators and for people at the console.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::AlarmState;
use simulator::{Outage, Simulator};

use super::imports::Imports;
use super::lambda::{Lambda, Power};
use super::queue::Queue;
use super::spectator::{Kind, Spectator};
use super::truth;
use crate::history::{Ending, attribute, body};
use crate::scenario::{Action, RuleChange, Stage, Step};
use crate::{ALIAS, CONTROL_REGION, alarm_name};

/// An import is written in so many portions.
const PORTIONS: u32 = 100;

/// What the director has to hand.
#[derive(Debug, Clone)]
pub(super) struct Director {
    pub(super) sim: Simulator,
    pub(super) lambda: Lambda,
    pub(super) redrive: Lambda,
    pub(super) imports: Imports,
    pub(super) queue: Queue,
    pub(super) import_at_most: Option<u64>,
    pub(super) spectator: Spectator,
    pub(super) power: Power,
}

impl Director {
    /// Plays the script from start to end.
    pub(super) async fn play(self, stage: Stage) {
        let mut script: Vec<&Step> = stage.script.iter().collect();
        script.sort_by_key(|step| step.at);
        for step in script {
            self.sim.clock().sleep_until(step.at).await;
            if !step.story.is_empty() {
                self.spectator
                    .tell(self.sim.now(), Kind::Story, &step.story);
            }
            if let Some(action) = &step.action {
                self.act(action, &stage);
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each action")]
    fn act(&self, action: &Action, stage: &Stage) {
        match action {
            Action::Outage(outage) => self.sim.with(|world| world.region_down(outage.clone())),
            Action::LoseControl(span) => self.lose_control(*span),
            Action::Fault(fault) => {
                self.sim.with(|world| world.add_fault(fault.clone()));
            }
            Action::Console(dials) => {
                let dials: Vec<(&str, u8)> = dials
                    .iter()
                    .map(|(region, dial)| (stage.bucket(region), *dial))
                    .collect();
                self.sim
                    .with(|world| world.set_routes_as_person(ALIAS, &dials));
            }
            Action::Command(command) => self.command(command.clone()),
            Action::CommandAfterMove(after, command) => {
                self.command_after_move(*after, command.clone());
            }
            Action::Acknowledge => self.acknowledge(),
            Action::Mute { region, until } => self.sim.with(|world| {
                let from = world.now();
                world.mute_alarm(CONTROL_REGION, &alarm_name(region), from, *until);
            }),
            Action::ForceAlarm { region, state } => self.force(region, *state),
            Action::Ring { alarm, state } => self.sim.with(|world| {
                world.set_alarm_state(CONTROL_REGION, alarm, *state, "set by hand");
            }),
            Action::Slow {
                source,
                destination,
                prefix,
                delay,
            } => self.sim.with(|world| {
                world.set_replication_delay_under(source, destination, prefix, delay.clone());
            }),
            Action::Refuse {
                source,
                destination,
                reason,
            } => self
                .sim
                .with(|world| world.deny_replication(source, destination, *reason)),
            Action::Versioning { bucket, versioning } => self
                .sim
                .with(|world| world.set_versioning(bucket, *versioning)),
            Action::Import {
                bucket,
                objects,
                over,
            } => self.import(bucket, *objects, *over),
            Action::DeleteForGood {
                source,
                bucket,
                one_in,
            } => {
                let sim = &self.sim;
                self.imports.delete_for_good(sim, source, bucket, *one_in);
            }
            Action::Key { key, enabled } => self.sim.with(|world| {
                if *enabled {
                    world.enable_kms_key(key);
                } else {
                    world.disable_kms_key(key);
                }
            }),
            Action::Rule {
                source,
                destination,
                change,
            } => self.sim.with(|world| {
                let rules = world.replication_rules(source);
                let mut rules = rules
                    .into_iter()
                    .filter(|one| one.destination == *destination);
                let mut rule = rules.next().expect("a rule of the mesh");
                match change {
                    RuleChange::Enabled(enabled) => rule.enabled = *enabled,
                    RuleChange::ReplicaKey(key) => rule.replica_kms_key.clone_from(key),
                }
                world.set_replication_rule(rule);
            }),
            Action::Encrypt { bucket, encryption } => self
                .sim
                .with(|world| world.set_encryption(bucket, encryption.clone())),
            Action::SweepUnreplicated { source } => {
                let (redrive, source) = (self.redrive.clone(), source.clone());
                tokio::task::spawn_local(async move {
                    let reason = "they were never replicated";
                    let ask = json!({"command": "sweep", "source": source, "statuses": ["NONE"], "reason": reason});
                    let Ending::Answered(offer) = redrive.call(ask).await else {
                        return;
                    };
                    let confirm = &offer["estimate"]["confirm"];
                    let command = json!({"command": "sweep", "confirm": confirm, "reason": reason});
                    redrive.call(command).await;
                });
            }
            Action::Message(body) => self.queue.send("from-somebody".to_owned(), body.clone()),
            Action::WhileJobRuns { .. } => {
                let (director, stage, action) = (self.clone(), stage.clone(), action.clone());
                tokio::task::spawn_local(
                    async move { director.while_job_runs(&stage, action).await },
                );
            }
            Action::Redrive(command) => {
                let redrive = self.redrive.clone();
                let command = command.clone();
                tokio::task::spawn_local(async move { redrive.call(command).await });
            }
            Action::MendAndRetry {
                event,
                after,
                story,
                remedy,
            } => {
                let (director, stage) = (self.clone(), stage.clone());
                let (event, after, story) = (*event, *after, story.clone());
                let remedy = remedy.clone();
                tokio::task::spawn_local(async move {
                    director.mend(&stage, event, after, story, &remedy).await;
                });
            }
        }
    }

    /// The control Region is lost with everything in it: nothing runs, nothing is invoked.
    fn lose_control(&self, span: Duration) {
        let director = self.clone();
        director.power.switch(false);
        let now = director.sim.now();
        let outage = Outage::hang(CONTROL_REGION, now, span);
        director.sim.with(|world| world.region_down(outage));
        tokio::task::spawn_local(async move {
            director.sim.sleep(span).await;
            director.power.switch(true);
        });
    }

    /// Somebody's import, in a hundred portions.
    fn import(&self, bucket: &str, objects: u64, over: Duration) {
        let objects = self.import_at_most.unwrap_or(u64::MAX).min(objects);
        let (director, bucket) = (self.clone(), bucket.to_owned());
        tokio::task::spawn_local(async move {
            let up_to = |portion: u32| objects * u64::from(portion) / u64::from(PORTIONS);
            for portion in 0..PORTIONS {
                let count = up_to(portion + 1) - up_to(portion);
                director.imports.write(&director.sim, &bucket, count);
                director.sim.sleep(over / PORTIONS).await;
            }
        });
    }

    async fn while_job_runs(&self, stage: &Stage, action: Action) {
        let Action::WhileJobRuns {
            objects,
            story,
            action,
            then,
            end,
            undo,
        } = action
        else {
            return;
        };
        while !self.sim.with(|world| truth::is_under_way(world, objects)) {
            self.sim.sleep(Duration::from_secs(1)).await;
        }
        self.spectator.tell(self.sim.now(), Kind::Story, story);
        self.act(&action, stage);
        self.sim.sleep(then).await;
        self.spectator.tell(self.sim.now(), Kind::Story, end);
        self.act(&undo, stage);
    }

    /// What a person does who is paged about a group: mends what the page names, then says so.
    async fn mend(
        &self,
        stage: &Stage,
        event: &str,
        after: Duration,
        story: String,
        remedy: &Action,
    ) {
        let group = loop {
            let paged = self.sim.with(|world| {
                let mut pages = world.published().iter();
                let page = pages.find(|page| attribute(page, "event") == event)?;
                Some(body(page)["group"].as_str().unwrap_or_default().to_owned())
            });
            if let Some(group) = paged {
                break group;
            }
            self.sim.sleep(Duration::from_secs(1)).await;
        };
        self.sim.sleep(after).await;
        self.spectator.tell(self.sim.now(), Kind::Story, story);
        self.act(remedy, stage);
        self.sim.sleep(Duration::from_mins(1)).await;
        let command = json!({"command": "retry", "group": group, "reason": "the cause is mended"});
        self.redrive.call(command).await;
    }

    fn force(&self, region: &str, state: AlarmState) {
        self.sim.with(|world| {
            let reason = "set by hand";
            world.set_alarm_state(CONTROL_REGION, &alarm_name(region), state, reason);
        });
    }

    fn command(&self, command: Value) {
        let lambda = self.lambda.clone();
        tokio::task::spawn_local(async move { lambda.call(command).await });
    }

    fn command_after_move(&self, after: Duration, command: Value) {
        let director = self.clone();
        tokio::task::spawn_local(async move {
            // The first entry of the history is the start.
            while director.sim.with(|world| world.route_history(ALIAS).len()) < 2 {
                director.sim.sleep(Duration::from_secs(1)).await;
            }
            director.sim.sleep(after).await;
            let text = format!("an operator sends {command}");
            director
                .spectator
                .tell(director.sim.now(), Kind::Story, text);
            director.lambda.call(command).await;
        });
    }

    /// What a person does who reads the id off the page.
    fn acknowledge(&self) {
        let lambda = self.lambda.clone();
        tokio::task::spawn_local(async move {
            let Ending::Answered(status) = lambda.call(json!({"command": "status"})).await else {
                return;
            };
            if let Some(incident) = status["incident"].as_str() {
                let command = json!({"command": "acknowledge", "incident": incident});
                lambda.call(command).await;
            }
        });
    }
}
