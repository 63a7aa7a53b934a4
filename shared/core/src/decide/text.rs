//! Words for people: what was decided, why, and what to do about it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Assessment;
use crate::guard::{Guard, GuardVerdict};
use crate::names::Region;
pub(super) use crate::notice::list;
use crate::state::{Kind, Plan};

/// A time of day, to the second, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The paragraph that explains a considered change: what, why, what stands in its way, what it costs.
pub(super) fn explain(plan: &Plan, blocking: &BTreeSet<Guard>) -> String {
    let detail = |guard: Guard| {
        plan.guards
            .iter()
            .find(|report| report.guard == guard)
            .map_or("-", |report| report.detail.as_str())
    };
    let mut sentences = vec![
        headline(plan, blocking),
        format!("Reason: {}.", plan.reason),
    ];
    for guard in blocking {
        sentences.push(format!("{guard}: {}.", detail(*guard)));
    }
    for report in &plan.guards {
        if report.overridden {
            sentences.push(format!(
                "{} was overridden: {}.",
                report.guard, report.detail
            ));
        } else if report.verdict == GuardVerdict::Unknown && !blocking.contains(&report.guard) {
            sentences.push(format!(
                "{} is not known, which does not stop a failover: {}.",
                report.guard, report.detail
            ));
        }
    }
    for (label, guard) in [
        ("Probes", Guard::EvidenceAgrees),
        ("Loss", Guard::LossIsAcceptable),
    ] {
        let said = plan.guards.iter().any(|report| {
            report.guard == guard
                && (report.overridden
                    || blocking.contains(&guard)
                    || report.verdict == GuardVerdict::Unknown)
        });
        if !said && detail(guard) != "-" {
            sentences.push(format!("{label}: {}.", detail(guard)));
        }
    }
    if blocking.is_subset(&BTreeSet::from([Guard::ModeAllows])) && !plan.from.is_empty() {
        sentences.push(consequences(plan.kind).to_owned());
    }
    sentences.join(" ")
}

/// What the change is, and what becomes of it.
fn headline(plan: &Plan, blocking: &BTreeSet<Guard>) -> String {
    let to = list(&plan.to);
    let change = match (plan.from.is_empty(), plan.kind) {
        (true, _) => {
            let active = plan.before.active();
            let begin = plan.to.difference(&active).cloned().collect();
            format!("Activation of {}", list(&begin))
        }
        (false, Kind::Failover) => format!("Failover from {} to {to}", list(&plan.from)),
        (false, Kind::Failback) => format!("Failback from {} to {to}", list(&plan.from)),
        (false, Kind::Switchover) => {
            format!("Planned switchover from {} to {to}", list(&plan.from))
        }
    };
    if blocking.is_empty() {
        return format!("{change}.");
    }
    let names: Vec<&str> = blocking.iter().map(|guard| guard.as_str()).collect();
    format!("{change} is held back by {}.", names.join(", "))
}

/// What people have to expect of writes around a change.
fn consequences(kind: Kind) -> &'static str {
    match kind {
        Kind::Failover => {
            "Writes that were not replicated before arrive when the Region returns; a key that is written on both sides keeps both versions, and which one is current is not defined."
        }
        Kind::Switchover | Kind::Failback => {
            "Writes that are still being replicated appear late on the other side; a key that is written on both sides meanwhile keeps both versions, and which one is current is not defined."
        }
    }
}

/// Why a member that is preferred does not take over.
pub(super) fn passed(preferred: &Region) -> String {
    format!("{preferred} comes first, but nobody knows how much of the last writes it misses.")
}

/// Why no other candidate can take over, member by member, as far as it differs from what was
/// said of the first.
pub(super) fn others(first: &Assessment, others: &[Assessment]) -> Option<String> {
    let about_the_target = [
        Guard::TargetIsHealthy,
        Guard::TargetNotDrifted,
        Guard::LossIsAcceptable,
        Guard::Cooldown,
        Guard::RegionIsMember,
        Guard::NobodyElseIsActing,
    ];
    let own = |assessment: &Assessment| -> BTreeSet<(Guard, String)> {
        assessment
            .plan
            .guards
            .iter()
            .filter(|report| {
                about_the_target.contains(&report.guard)
                    && assessment.blocking.contains(&report.guard)
            })
            .map(|report| (report.guard, report.detail.clone()))
            .collect()
    };
    let said = own(first);
    if said.is_empty() {
        return None;
    }
    let lines: Vec<String> = others
        .iter()
        .filter_map(|other| {
            let reasons: Vec<String> = own(other)
                .difference(&said)
                .map(|(guard, detail)| format!("{guard}: {detail}"))
                .collect();
            let active = other.plan.before.active();
            let target = list(&other.plan.to.difference(&active).cloned().collect());
            (!reasons.is_empty()).then(|| format!("{target} ({})", reasons.join("; ")))
        })
        .collect();
    (!lines.is_empty()).then(|| format!("Nor can another member take over: {}.", lines.join("; ")))
}
