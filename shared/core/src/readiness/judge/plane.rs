//! The access point and its control plane.

use std::collections::BTreeSet;

use super::{Bench, broken, listed};
use crate::announce::Severity::{Critical, Info, Warning};
use crate::readiness::check::Check;
use crate::readiness::finding::Verdict;
use crate::readiness::inventory::{Looked, routes_at};
use crate::routes::Dial;
use crate::settings::Topology;

impl Bench<'_> {
    pub(super) fn plane(&mut self) {
        self.endpoints();
        let inventory = self.inventory;
        let mrap = &self.settings.mrap;
        let Some(routes) = inventory.routes() else {
            for check in [Check::MembersMatch, Check::Dials, Check::Topology] {
                self.verdict(check, mrap.alias(), Verdict::Unread);
            }
            return;
        };
        let look = format!(
            "aws s3control get-multi-region-access-point-routes --region us-west-2 --account-id {} --mrap {mrap}",
            mrap.account()
        );
        let seen: BTreeSet<String> = routes
            .iter()
            .map(|route| format!("{}@{}", route.bucket, route.region))
            .collect();
        let wanted: BTreeSet<String> = self
            .settings
            .members
            .iter()
            .map(ToString::to_string)
            .collect();
        let found = (seen != wanted).then(|| {
            broken(
                Critical,
                format!(
                    "the access point leads to {}, the settings say {}",
                    listed(&seen),
                    listed(&wanted)
                ),
                "No decision can be made about routes that are not those of the settings: nothing fails over.",
                format!("{look} # then put MEMBERS right"),
            )
            .of(seen.symmetric_difference(&wanted))
        });
        self.rule(Check::MembersMatch, mrap.alias(), found);

        let odd = listed(
            routes
                .iter()
                .filter(|route| matches!(route.dial, Dial::Undefined(_)))
                .map(|route| format!("{} {}", route.bucket, i32::from(route.dial))),
        );
        let found = (!odd.is_empty()).then(|| {
            broken(
                Warning,
                format!("dials that AWS does not define: {odd}"),
                "Whether such a member serves is not defined, and it counts neither as active nor as passive.",
                look.clone(),
            )
        });
        self.rule(Check::Dials, mrap.alias(), found);

        let active: BTreeSet<&str> = routes
            .iter()
            .filter(|route| route.dial == Dial::Active)
            .map(|route| route.region.as_str())
            .collect();
        let members = &self.settings.members;
        let meant: BTreeSet<&str> = match self.settings.topology {
            Topology::ActivePassive => [members.home().region.as_str()].into(),
            Topology::ActiveActive => members
                .regions()
                .map(crate::names::Region::as_str)
                .collect(),
        };
        let found = (active != meant).then(|| {
            broken(
                Info,
                format!("active is {}, TOPOLOGY says {}", listed(active), listed(meant)),
                "The access point is away from home, or a person changed it.",
                "aws lambda invoke --function-name \"$FAILOVER_FUNCTION\" --cli-binary-format raw-in-base64-out --payload '{\"command\":\"failback\",\"reason\":\"home is well\",\"dryRun\":true}' /dev/stdout",
            )
        });
        self.rule(Check::Topology, mrap.alias(), found);
    }

    /// One by one: a failover needs any of them, and loses time with each that does not answer.
    fn endpoints(&mut self) {
        let inventory = self.inventory;
        let told = inventory.routes().is_some();
        for (region, routes) in &inventory.endpoints {
            let evidence = match routes {
                Looked::Found(_) => None,
                Looked::Absent => Some(format!("{region} knows no such access point")),
                // One lost packet is nothing to tell people of.
                Looked::Failed { detail } if self.before.contains(routes_at(region).as_str()) => {
                    Some(format!("{region}: {detail}"))
                }
                Looked::Failed { .. } | Looked::Denied { .. } => {
                    self.verdict(Check::ControlEndpoint, region.as_str(), Verdict::Unread);
                    continue;
                }
            };
            let found = evidence.map(|evidence| {
                broken(
                    if told { Warning } else { Critical },
                    evidence,
                    "A failover cannot turn the dial there, and none of five left means that nobody can.",
                    format!(
                        "aws s3control get-multi-region-access-point-routes --region {region} --account-id {} --mrap {}",
                        self.settings.mrap.account(),
                        self.settings.mrap
                    ),
                )
            });
            self.rule(Check::ControlEndpoint, region.as_str(), found);
        }
    }
}
