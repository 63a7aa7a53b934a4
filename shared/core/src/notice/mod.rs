//! Notices: what people are told of each thing that happens, as announcements in the outbox.
//!
//! Every notice says what happened, what it means, and what to do, with commands ready to paste.

mod change;
mod problem;
mod rehearsal;
mod standstill;

pub(crate) use problem::SUBMIT;
pub use rehearsal::rehearsal_answer;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::announce::{Announcement, Draft, Event, Severity};
use crate::answer::Answer;
use crate::names::{MrapArn, Region};
use crate::routes::{CONTROL_ENDPOINTS, Routes};
use crate::settings::Settings;
use crate::state::{Plan, State};

/// The budget's window.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Writes notices into a state's outbox.
#[derive(Debug, Clone, Copy)]
pub struct Notices<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The invocation, which distinguishes what an operator does.
    pub request_id: &'a str,
    /// The time.
    pub now: Timestamp,
}

/// Regions in a row.
#[must_use]
pub fn list(regions: &BTreeSet<Region>) -> String {
    if regions.is_empty() {
        return "nobody".to_owned();
    }
    regions
        .iter()
        .map(Region::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn first(regions: &BTreeSet<Region>) -> &str {
    regions.first().map_or("", Region::as_str)
}

/// `aws lambda invoke` of the `failover` function with this payload, ready to paste.
#[must_use]
pub fn invoke(payload: &Value) -> String {
    invoke_with("FAILOVER_FUNCTION", payload)
}

/// `aws lambda invoke` of the function that this shell variable names.
#[must_use]
pub fn invoke_with(variable: &str, payload: &Value) -> String {
    format!(
        "aws lambda invoke --function-name \"${variable}\" --cli-binary-format raw-in-base64-out --payload '{payload}' /dev/stdout"
    )
}

/// The `aws` command that moves the routes without this machine.
#[must_use]
pub fn raw_command(mrap: &MrapArn, before: &Routes, after: &Routes) -> String {
    // Best an endpoint outside the Regions that are left: they are in trouble.
    let left: Vec<Region> = before
        .active()
        .difference(&after.active())
        .cloned()
        .collect();
    let endpoint = CONTROL_ENDPOINTS
        .iter()
        .find(|endpoint| !left.iter().any(|region| region.as_str() == **endpoint))
        .copied()
        .unwrap_or_default();
    let updates: Vec<String> = before
        .changes_to(after)
        .iter()
        .map(|route| {
            format!(
                "Bucket={},TrafficDialPercentage={}",
                route.bucket,
                i32::from(route.dial)
            )
        })
        .collect();
    format!(
        "aws s3control submit-multi-region-access-point-routes --region {endpoint} --account-id {} --mrap {mrap} --route-updates {}",
        mrap.account(),
        updates.join(" ")
    )
}

/// `failover us-east-1 -> eu-west-1`.
fn movement(plan: &Plan) -> String {
    format!(
        "{} {} -> {}",
        plan.kind.as_str(),
        list(&plan.from),
        list(&plan.to)
    )
}

impl Notices<'_> {
    fn announce(&self, state: &mut State, draft: &Draft<'_>) {
        let announcement = Announcement::compose(&self.settings.mrap, draft, self.now);
        state.announce(announcement);
    }

    /// What an operator did to the machine.
    pub fn operator(&self, state: &mut State, event: Event, headline: &str, answer: &Answer) {
        self.announce(
            state,
            &Draft {
                event,
                severity: Severity::Info,
                step: self.request_id,
                region: "",
                headline,
                advice: &[],
                answer,
            },
        );
    }
}
