//! What each guard says about a change.

mod evidence;
mod loss;
mod pace;
mod routes;
mod trigger;

use jiff::SignedDuration;

use super::{Basis, Context, Move};
use crate::guard::{Guard, GuardReport, GuardVerdict};
use crate::routes::Routes;

/// A guard's verdict and its reason.
type Says = (GuardVerdict, String);

fn pass(detail: impl Into<String>) -> Says {
    (GuardVerdict::Pass, detail.into())
}

fn block(detail: impl Into<String>) -> Says {
    (GuardVerdict::Block, detail.into())
}

fn unknown(detail: impl Into<String>) -> Says {
    (GuardVerdict::Unknown, detail.into())
}

/// Whether the guard has a say at all: the guard table.
fn applies(guard: Guard, basis: Basis) -> bool {
    let automatic = matches!(basis, Basis::Automatic { .. });
    match guard {
        Guard::TriggerIsFresh | Guard::TriggerNotSuppressed => automatic,
        Guard::ModeAllows => {
            automatic
                || matches!(
                    basis,
                    Basis::Homeward { .. } | Basis::Rehearsal { scheduled: true }
                )
        }
        Guard::Cooldown | Guard::DailyBudget => {
            automatic || basis == (Basis::Homeward { approved: false })
        }
        Guard::EvidenceAgrees => basis != Basis::OperatorFailover,
        Guard::Drained => matches!(basis, Basis::Failback | Basis::Homeward { .. }),
        Guard::NotOnHold
        | Guard::TargetIsHealthy
        | Guard::TargetNotDrifted
        | Guard::LossIsAcceptable
        | Guard::RegionIsMember
        | Guard::RegionIsActive
        | Guard::TargetExists
        | Guard::NobodyElseIsActing
        | Guard::AtLeastOneActive => true,
    }
}

/// Whether not knowing stands in the way: unknown loss and drift must not stop a failover.
fn unknown_blocks(guard: Guard, basis: Basis) -> bool {
    match guard {
        Guard::TargetNotDrifted | Guard::LossIsAcceptable => {
            !matches!(basis, Basis::Automatic { .. } | Basis::OperatorFailover)
        }
        _ => true,
    }
}

fn seconds(duration: SignedDuration) -> String {
    format!("{} s", duration.as_secs())
}

impl Context<'_> {
    /// One guard's line of the report, and whether it stands in the way.
    pub(in crate::decide) fn judge(
        &self,
        guard: Guard,
        basis: Basis,
        wanted: &Move,
        after: &Routes,
    ) -> (GuardReport, bool) {
        if !applies(guard, basis) {
            let report = GuardReport {
                guard,
                verdict: GuardVerdict::Pass,
                detail: "-".to_owned(),
                overridden: false,
            };
            return (report, false);
        }
        let (verdict, detail) = match guard {
            Guard::TriggerIsFresh => self.trigger_is_fresh(wanted),
            Guard::TriggerNotSuppressed => self.trigger_not_suppressed(wanted),
            Guard::ModeAllows => self.mode_allows(basis, wanted),
            Guard::EvidenceAgrees => self.evidence_agrees(basis, wanted),
            Guard::NotOnHold => self.not_on_hold(),
            Guard::TargetIsHealthy => self.target_is_healthy(wanted),
            Guard::TargetNotDrifted => self.target_not_drifted(wanted),
            Guard::LossIsAcceptable => self.loss_is_acceptable(wanted),
            Guard::Drained => self.drained(wanted),
            Guard::Cooldown => self.cooldown(wanted),
            Guard::DailyBudget => self.daily_budget(),
            Guard::RegionIsMember => self.region_is_member(wanted),
            Guard::RegionIsActive => self.region_is_active(wanted),
            Guard::TargetExists => self.target_exists(wanted),
            Guard::NobodyElseIsActing => self.nobody_else_is_acting(basis, after),
            Guard::AtLeastOneActive => routes::at_least_one_active(after),
        };
        let stands = match verdict {
            GuardVerdict::Pass => false,
            GuardVerdict::Block => true,
            GuardVerdict::Unknown => unknown_blocks(guard, basis),
        };
        let overridden = stands && guard.may_be_overridden() && self.overrides.contains(&guard);
        let report = GuardReport {
            guard,
            verdict,
            detail,
            overridden,
        };
        (report, stands && !overridden)
    }
}
