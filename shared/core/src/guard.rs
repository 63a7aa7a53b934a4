//! The guards: the named conditions of a decision, and what each says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One named condition of a decision, in the order in which guards are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Guard {
    /// The trigger was confirmed recently enough.
    TriggerIsFresh,
    /// No trigger that counts is muted or suppressed.
    TriggerNotSuppressed,
    /// `MODE` (for a failback: `FAILBACK`) permits an automatic change.
    ModeAllows,
    /// Our own evidence agrees with the reason for the change.
    EvidenceAgrees,
    /// No hold is set.
    NotOnHold,
    /// The evidence shows every target good.
    TargetIsHealthy,
    /// No drift would make the target lose data or refuse requests.
    TargetNotDrifted,
    /// What the target may be missing is within the limit.
    LossIsAcceptable,
    /// Nothing is on its way home any more.
    Drained,
    /// No return to a member that was left automatically a short while ago.
    Cooldown,
    /// The automatic changes of a rolling day are not used up.
    DailyBudget,
    /// Every Region named is one of the members.
    RegionIsMember,
    /// The Region to leave is active.
    RegionIsActive,
    /// There is a Region to go to.
    TargetExists,
    /// Nobody else's claim is unexpired.
    NobodyElseIsActing,
    /// The change leaves at least one member active.
    AtLeastOneActive,
}

/// A guard's name that no guard has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such guard; the guards are {}", join(Guard::ALL.iter().copied()))]
pub struct UnknownGuard;

fn join(guards: impl Iterator<Item = Guard>) -> String {
    guards.map(Guard::as_str).collect::<Vec<_>>().join(", ")
}

impl Guard {
    /// Every guard, in the order of the report.
    pub const ALL: [Self; 16] = [
        Self::TriggerIsFresh,
        Self::TriggerNotSuppressed,
        Self::ModeAllows,
        Self::EvidenceAgrees,
        Self::NotOnHold,
        Self::TargetIsHealthy,
        Self::TargetNotDrifted,
        Self::LossIsAcceptable,
        Self::Drained,
        Self::Cooldown,
        Self::DailyBudget,
        Self::RegionIsMember,
        Self::RegionIsActive,
        Self::TargetExists,
        Self::NobodyElseIsActing,
        Self::AtLeastOneActive,
    ];

    /// The guard's name in commands, answers, announcements and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TriggerIsFresh => "trigger-is-fresh",
            Self::TriggerNotSuppressed => "trigger-not-suppressed",
            Self::ModeAllows => "mode-allows",
            Self::EvidenceAgrees => "evidence-agrees",
            Self::NotOnHold => "not-on-hold",
            Self::TargetIsHealthy => "target-is-healthy",
            Self::TargetNotDrifted => "target-not-drifted",
            Self::LossIsAcceptable => "loss-is-acceptable",
            Self::Drained => "drained",
            Self::Cooldown => "cooldown",
            Self::DailyBudget => "daily-budget",
            Self::RegionIsMember => "region-is-member",
            Self::RegionIsActive => "region-is-active",
            Self::TargetExists => "target-exists",
            Self::NobodyElseIsActing => "nobody-else-is-acting",
            Self::AtLeastOneActive => "at-least-one-active",
        }
    }

    /// Whether an operator may override this guard by name or with `force`.
    ///
    /// The first three apply to automatic changes only, so there is nothing to override; the
    /// last five protect the routes themselves.
    #[must_use]
    pub const fn may_be_overridden(self) -> bool {
        match self {
            Self::EvidenceAgrees
            | Self::NotOnHold
            | Self::TargetIsHealthy
            | Self::TargetNotDrifted
            | Self::LossIsAcceptable
            | Self::Drained
            | Self::Cooldown
            | Self::DailyBudget => true,
            Self::TriggerIsFresh
            | Self::TriggerNotSuppressed
            | Self::ModeAllows
            | Self::RegionIsMember
            | Self::RegionIsActive
            | Self::TargetExists
            | Self::NobodyElseIsActing
            | Self::AtLeastOneActive => false,
        }
    }

    /// The guards that may be overridden, in the order of the report: what `force` overrides.
    pub fn overridable() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|guard| guard.may_be_overridden())
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Guard> for &'static str {
    fn from(guard: Guard) -> Self {
        guard.as_str()
    }
}

impl FromStr for Guard {
    type Err = UnknownGuard;

    fn from_str(text: &str) -> Result<Self, UnknownGuard> {
        Self::ALL
            .into_iter()
            .find(|guard| guard.as_str() == text)
            .ok_or(UnknownGuard)
    }
}

impl TryFrom<String> for Guard {
    type Error = UnknownGuard;

    fn try_from(text: String) -> Result<Self, UnknownGuard> {
        text.parse()
    }
}

/// What a guard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardVerdict {
    /// Nothing stands in the way, or the guard does not apply.
    Pass,
    /// The change may not be made.
    Block,
    /// It cannot be told; whether that blocks depends on the guard and on the kind of change.
    Unknown,
}

impl GuardVerdict {
    /// The verdict as printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Block => "block",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for GuardVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of a decision's report: every guard has one, whichever blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardReport {
    /// The guard.
    pub guard: Guard,
    /// What it says, overridden or not.
    pub verdict: GuardVerdict,
    /// Why, with the figures compared.
    pub detail: String,
    /// Whether an operator overrode what the guard says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overridden: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for guard in Guard::ALL {
            assert_eq!(guard.to_string().parse(), Ok(guard));
            let json = serde_json::to_value(guard).unwrap();
            assert_eq!(json, guard.as_str());
            assert_eq!(serde_json::from_value::<Guard>(json).unwrap(), guard);
        }
        assert!(
            Guard::ALL.is_sorted(),
            "the order of the report is the order of the enum"
        );
        assert!("Cooldown".parse::<Guard>().is_err());
        assert!("cooldown ".parse::<Guard>().is_err());
    }

    #[test]
    fn overridable_are_those_that_protect_no_route() {
        assert_eq!(
            join(Guard::overridable()),
            "evidence-agrees, not-on-hold, target-is-healthy, target-not-drifted, \
             loss-is-acceptable, drained, cooldown, daily-budget"
        );
    }

    #[test]
    fn a_report_has_the_form_of_the_answer() {
        let mut report = GuardReport {
            guard: Guard::Cooldown,
            verdict: GuardVerdict::Pass,
            detail: "last change 3 days ago, cooldown 1800 s".to_owned(),
            overridden: false,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"guard":"cooldown","verdict":"pass","detail":"last change 3 days ago, cooldown 1800 s"}"#
        );
        report.overridden = true;
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.ends_with(r#","overridden":true}"#), "{json}");
        assert_eq!(serde_json::from_str::<GuardReport>(&json).unwrap(), report);
    }
}
