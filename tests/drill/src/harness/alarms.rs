//! Brings state changes of alarms to the function, in the shapes that AWS uses.

use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use simulator::Simulator;
use simulator::cloudwatch::Delivery;

use super::lambda::Lambda;
use super::monitoring::Barks;
use super::spectator::{Kind, Spectator};
use crate::WATCHDOG;
use crate::history::Cause;
use crate::scenario::{Channels, Delay};

/// Between CloudWatch and the function.
#[derive(Debug)]
pub(super) struct Postman {
    pub(super) sim: Simulator,
    pub(super) lambda: Lambda,
    pub(super) spectator: Spectator,
    pub(super) channels: Channels,
    pub(super) delays: Vec<Delay>,
    pub(super) barks: Barks,
}

impl Postman {
    /// Delivers for as long as it is polled.
    pub(super) async fn deliver(self, mut dice: Rng) {
        loop {
            let delivery = self.sim.next_delivery().await;
            if delivery.alarm == WATCHDOG {
                self.bark(&delivery);
                continue;
            }
            self.tell(&delivery);
            let delay = self
                .delays
                .iter()
                .find(|delay| delay.state == delivery.state);
            match delay {
                None => self.hand_over(&delivery, &mut dice, None),
                Some(Delay { by: None, .. }) => {
                    let text = format!(
                        "the {} event of {} is lost",
                        delivery.state.as_str(),
                        delivery.alarm
                    );
                    self.spectator.tell(delivery.at, Kind::Alarm, text);
                }
                Some(Delay { by, .. }) => self.hand_over(&delivery, &mut dice, *by),
            }
        }
    }

    /// The watchdog's alarm tells people by itself, from its own Region.
    fn bark(&self, delivery: &Delivery) {
        if !delivery.duplicate {
            let text = format!("the watchdog's alarm is {}", delivery.state.as_str());
            self.spectator.tell(delivery.at, Kind::Page, text);
            self.barks
                .lock()
                .unwrap()
                .push((delivery.at, delivery.state));
        }
    }

    fn tell(&self, delivery: &Delivery) {
        if !delivery.duplicate {
            let text = format!("{} is {}", delivery.alarm, delivery.state.as_str());
            self.spectator.tell(delivery.at, Kind::Alarm, text);
        }
    }

    fn hand_over(&self, delivery: &Delivery, dice: &mut Rng, late: Option<Duration>) {
        let there = |shape: &'static str, payload: &Option<Value>| {
            payload.clone().map(|payload| (shape, payload))
        };
        let eventbridge = there("EventBridge", &delivery.eventbridge_json);
        let action = there("action", &delivery.lambda_action_json);
        let sns = there("SNS", &delivery.sns_json);
        let chosen: Vec<(&'static str, Value)> = match self.channels {
            Channels::EventBridge => eventbridge.into_iter().collect(),
            Channels::All => [eventbridge, action, sns].into_iter().flatten().collect(),
            Channels::Mixed => {
                let mut all: Vec<_> = [eventbridge, action, sns].into_iter().flatten().collect();
                let pick = dice.usize(0..all.len().max(1));
                all.drain(..).skip(pick).take(1).collect()
            }
        };
        for (shape, payload) in chosen {
            let what = format!("{} {}", delivery.alarm, delivery.state.as_str());
            let cause = Cause::Alarm { what, shape };
            let (sim, lambda) = (self.sim.clone(), self.lambda.clone());
            tokio::task::spawn_local(async move {
                if let Some(late) = late {
                    sim.sleep(late).await;
                }
                lambda.send(payload, cause);
            });
        }
    }
}
