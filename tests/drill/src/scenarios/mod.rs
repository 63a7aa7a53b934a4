//! The scenarios.

mod alarms;
mod copies;
mod expect;
mod machinery;
mod outages;
mod people;
mod readiness;
mod returns;
mod watching;

use std::time::Duration;

use fastrand::Rng;
use simulator::{Outage, SimTime};

use crate::scenario::Scenario;

/// The scenario that is played when none is named.
pub const DEFAULT: &str = "regional-outage";

/// All of them, the default first.
pub static ALL: [Scenario; 38] = [
    outages::REGIONAL_OUTAGE,
    outages::CONTROL_PLANE_OUTAGE,
    outages::FLAPPING_REGION,
    outages::GLOBAL_OUTAGE,
    outages::BAD_TARGET,
    outages::TARGET_DIES_TOO,
    alarms::STALE_ALARM,
    alarms::BLOCKED_THEN_CLEAR,
    alarms::MUTE_WINDOW_ENDS,
    alarms::TWO_FUNCTIONS_RACE,
    people::OPERATOR_HOLD,
    people::PLANNED_SWITCHOVER,
    people::OUTSIDE_CHANGE,
    returns::OUTAGE_AND_RETURN,
    returns::RELAPSE,
    returns::OUTAGE_AFTER_FAILBACK,
    returns::BACKLOG_BEHIND_CANARIES,
    returns::SCHEDULED_REHEARSAL,
    machinery::LATE_SUBMIT,
    machinery::HOME_POLICY_EDITED,
    machinery::STATE_STORE_DOWN,
    watching::EVENT_LOST,
    watching::WAKE_UP_LOST,
    watching::OBSERVER_ISOLATED,
    watching::TWO_VIEWS,
    watching::SLOW_BURN,
    watching::CONTROL_REGION_LOST,
    copies::REPLICATION_PERMISSION_LOSS,
    copies::KMS_KEY_DISABLED,
    copies::DESTINATION_UNVERSIONED,
    copies::THREE_MEMBERS_ONE_BROKEN,
    copies::OBJECTS_DELETED_MEANWHILE,
    copies::JOB_FAILS_HALF,
    copies::EVENT_STORM,
    copies::DUPLICATE_EVENTS,
    copies::REDRIVE_CRASH,
    readiness::ONE_WAY_REPLICATION,
    readiness::SILENT_KMS,
];

/// A scenario by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

const HOME: &str = "us-east-1";
const DUBLIN: &str = "eu-west-1";
const TOKYO: &str = "ap-northeast-1";

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// A moment around `minutes` after the start, up to a minute later.
fn around(dice: &mut Rng, minutes: u64) -> SimTime {
    SimTime::from_millis(minutes * 60_000 + dice.u64(0..60_000))
}

/// A Region goes down: connections hang or are refused, by chance.
fn outage(dice: &mut Rng, region: &str, from: SimTime, span: Duration) -> (Outage, String) {
    if dice.bool() {
        let story = format!("S3 in {region} goes down: requests hang");
        (Outage::hang(region, from, span), story)
    } else {
        let story = format!("S3 in {region} goes down: connections are refused");
        (Outage::refuse(region, from, span), story)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_stories_have_two_lines() {
        let names: std::collections::BTreeSet<&str> =
            ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(find(DEFAULT).is_some());
        for scenario in &ALL {
            assert_eq!(scenario.story.lines().count(), 2, "{}", scenario.name);
        }
    }

    #[test]
    fn everything_is_back_long_before_the_end() {
        for scenario in &ALL {
            for seed in 0..50 {
                let stage = (scenario.stage)(&mut Rng::with_seed(seed));
                let end = SimTime::ZERO + stage.length;
                for step in &stage.script {
                    assert!(
                        step.at + minutes(10) < end,
                        "{}: {}",
                        scenario.name,
                        step.story
                    );
                }
            }
        }
    }
}
