//! Watches the world for the spectator until the run ends.

use std::collections::BTreeSet;
use std::time::Duration;

use simulator::truth::Actor;
use simulator::{SimTime, Simulator};

use super::progress::Progress;
use super::spectator::{Kind, Spectator};
use crate::history::event_id;
use crate::{ALIAS, alarm_topic_arn};

/// How often it looks.
const GLANCE: Duration = Duration::from_secs(1);

/// Returns at `end`.
pub(super) async fn until(sim: &Simulator, spectator: &Spectator, end: SimTime) {
    let mut changes = 1; // the start is no change
    let mut pages = 0;
    let mut told = BTreeSet::new();
    let mut progress = Progress::default();
    let topic = alarm_topic_arn();
    while sim.now() < end {
        let next = sim.now() + GLANCE;
        sim.clock().sleep_until(next.min(end)).await;
        sim.with(|world| {
            for change in &world.route_history(ALIAS)[changes..] {
                let who = match &change.by {
                    Actor::Person => "by somebody in the console",
                    _ if change.before == change.after => "again, changing nothing",
                    _ => "by the function",
                };
                let dials: Vec<String> = change
                    .after
                    .iter()
                    .map(|route| format!("{} {}", route.region, route.dial))
                    .collect();
                let text = format!("routes set to {} {who}", dials.join(", "));
                spectator.tell(change.at, Kind::Routes, text);
            }
            changes = world.route_history(ALIAS).len();
            for page in &world.published()[pages..] {
                // Each is published on two topics; wake-ups are for the function.
                if page.topic_arn != topic && told.insert(event_id(page).to_owned()) {
                    let text = page.subject.clone().unwrap_or_default();
                    spectator.tell(page.at, Kind::Page, text);
                }
            }
            pages = world.published().len();
            progress.look(world, spectator);
        });
        spectator.flush(sim.now());
    }
}
