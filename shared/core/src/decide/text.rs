//! Words for people: what was decided, why, and what to do about it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Assessment, Context};
use crate::guard::{Guard, GuardVerdict};
use crate::names::Region;
use crate::state::{Kind, Plan};

/// A time of day, to the second, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Regions in a row.
pub(super) fn list(regions: &BTreeSet<Region>) -> String {
    if regions.is_empty() {
        return "nobody".to_owned();
    }
    regions
        .iter()
        .map(Region::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The paragraph that explains a considered change.
pub(super) fn explain(plan: &Plan, blocking: &BTreeSet<Guard>, context: &Context<'_>) -> String {
    let mut sentences = Vec::new();
    let (from, to) = (list(&plan.from), list(&plan.to));
    sentences.push(match plan.kind {
        Kind::Failover => format!("Failover from {from} to {to} ({}).", plan.reason),
        Kind::Failback => format!("Failback from {from} to {to} ({}).", plan.reason),
        Kind::Switchover => format!("Planned switchover from {from} to {to} ({}).", plan.reason),
    });
    let detail = |guard: Guard| {
        plan.guards
            .iter()
            .find(|report| report.guard == guard)
            .map_or("", |report| report.detail.as_str())
    };
    for guard in blocking {
        sentences.push(format!("{guard} stands in the way: {}.", detail(*guard)));
    }
    for report in &plan.guards {
        if report.overridden {
            sentences.push(format!(
                "{} was overridden: {}.",
                report.guard, report.detail
            ));
        } else if report.verdict == GuardVerdict::Unknown && !blocking.contains(&report.guard) {
            sentences.push(format!(
                "Not known, and no obstacle: {} ({}).",
                report.guard, report.detail
            ));
        }
    }
    if !blocking.contains(&Guard::EvidenceAgrees) && detail(Guard::EvidenceAgrees) != "-" {
        sentences.push(format!("Evidence: {}.", detail(Guard::EvidenceAgrees)));
    }
    if !plan.from.is_empty() && plan.kind != Kind::Failback {
        sentences.push(
            "Writes that have not been replicated arrive when the Region returns; a key written on both sides keeps both versions, and which is current is not defined."
                .to_owned(),
        );
    }
    if plan.kind == Kind::Failback {
        sentences.push(
            "Writes made meanwhile that have not reached home yet appear there late.".to_owned(),
        );
    }
    sentences.push(format!("Routes: {}.", context.observation.routes));
    sentences.join(" ")
}

/// Why no other candidate can take over, member by member; nothing where something else than
/// the candidate stands in the way.
pub(super) fn others(first: &Assessment, others: &[Assessment]) -> Option<String> {
    let about_the_target = [
        Guard::TargetIsHealthy,
        Guard::TargetNotDrifted,
        Guard::LossIsAcceptable,
        Guard::Cooldown,
        Guard::RegionIsMember,
        Guard::NobodyElseIsActing,
    ];
    if !about_the_target
        .iter()
        .any(|guard| first.blocking.contains(guard))
    {
        return None;
    }
    let lines: Vec<String> = others
        .iter()
        .map(|other| {
            let reasons: Vec<String> = other
                .plan
                .guards
                .iter()
                .filter(|report| {
                    about_the_target.contains(&report.guard)
                        && other.blocking.contains(&report.guard)
                })
                .map(|report| format!("{}: {}", report.guard, report.detail))
                .collect();
            let active = other.plan.before.active();
            let names = list(&other.plan.to.difference(&active).cloned().collect());
            format!("{names} ({})", reasons.join("; "))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("Nor can another member take over: {}.", lines.join("; ")))
}
