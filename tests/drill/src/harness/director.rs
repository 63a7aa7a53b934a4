//! Plays the script: makes trouble, acts for operators and for people at the console.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::Simulator;
use simulator::cloudwatch::AlarmState;

use super::lambda::Lambda;
use super::spectator::{Kind, Spectator};
use crate::history::Ending;
use crate::scenario::{Action, Stage, Step};
use crate::{ALIAS, CONTROL_REGION, alarm_name};

/// What the director has to hand.
#[derive(Debug, Clone)]
pub(super) struct Director {
    pub(super) sim: Simulator,
    pub(super) lambda: Lambda,
    pub(super) spectator: Spectator,
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

    fn act(&self, action: &Action, stage: &Stage) {
        match action {
            Action::Outage(outage) => self.sim.with(|world| world.region_down(outage.clone())),
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
        }
    }

    fn force(&self, region: &str, state: AlarmState) {
        self.sim.with(|world| {
            let reason = "set by hand";
            world.set_alarm_state(CONTROL_REGION, &alarm_name(region), state, reason);
        });
    }

    fn command(&self, command: Value) {
        let lambda = self.lambda.clone();
        tokio::spawn(async move { lambda.call(command).await });
    }

    fn command_after_move(&self, after: Duration, command: Value) {
        let director = self.clone();
        tokio::spawn(async move {
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
        tokio::spawn(async move {
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
