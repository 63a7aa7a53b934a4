//! The routes of a Multi-Region Access Point and changes to them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{BucketName, Region};

/// The Regions that serve the routes API, says the S3 user guide.
pub const CONTROL_ENDPOINTS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-northeast-1",
    "ap-southeast-2",
];

/// `TrafficDialPercentage` of a route.
///
/// AWS defines 100 (active) and 0 (passive) only; whatever else is read back is kept as it is
/// and never treated as either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i32", into = "i32")]
pub enum Dial {
    /// 0: receives no requests.
    Passive,
    /// 100: receives requests.
    Active,
    /// A value that AWS does not define.
    Undefined(i32),
}

impl From<i32> for Dial {
    fn from(percentage: i32) -> Self {
        match percentage {
            0 => Self::Passive,
            100 => Self::Active,
            other => Self::Undefined(other),
        }
    }
}

impl From<Dial> for i32 {
    fn from(dial: Dial) -> Self {
        match dial {
            Dial::Passive => 0,
            Dial::Active => 100,
            Dial::Undefined(other) => other,
        }
    }
}

/// The route to one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The member's bucket; route updates are addressed by it.
    pub bucket: BucketName,
    /// The bucket's Region.
    pub region: Region,
    /// The dial.
    pub dial: Dial,
}

/// All routes of the Multi-Region Access Point, sorted by Region, so that equal routes compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Route>", into = "Vec<Route>")]
pub struct Routes(Vec<Route>);

impl From<Vec<Route>> for Routes {
    fn from(mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| (&a.region, &a.bucket).cmp(&(&b.region, &b.bucket)));
        Self(routes)
    }
}

impl From<Routes> for Vec<Route> {
    fn from(routes: Routes) -> Self {
        routes.0
    }
}

impl Routes {
    /// The routes, sorted by Region.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.0.iter()
    }

    /// The dial of the route to this Region, if there is one.
    #[must_use]
    pub fn dial(&self, region: &Region) -> Option<Dial> {
        self.0
            .iter()
            .find(|route| &route.region == region)
            .map(|route| route.dial)
    }

    /// Whether the route to this Region is active.
    #[must_use]
    pub fn is_active(&self, region: &Region) -> bool {
        self.dial(region) == Some(Dial::Active)
    }

    /// The Regions whose dial is 100.
    #[must_use]
    pub fn active(&self) -> BTreeSet<Region> {
        self.0
            .iter()
            .filter(|route| route.dial == Dial::Active)
            .map(|route| route.region.clone())
            .collect()
    }

    /// These routes with `from` at 0, `to` at 100 and everything else as it is.
    #[must_use]
    pub fn moved(&self, from: &BTreeSet<Region>, to: &BTreeSet<Region>) -> Self {
        Self(
            self.0
                .iter()
                .map(|route| Route {
                    dial: if to.contains(&route.region) {
                        Dial::Active
                    } else if from.contains(&route.region) {
                        Dial::Passive
                    } else {
                        route.dial
                    },
                    ..route.clone()
                })
                .collect(),
        )
    }

    /// The routes of `target` whose dial differs from this one's: what has to be submitted.
    #[must_use]
    pub fn changes_to(&self, target: &Self) -> Vec<Route> {
        target
            .0
            .iter()
            .filter(|route| self.dial(&route.region) != Some(route.dial))
            .cloned()
            .collect()
    }
}

impl<'a> IntoIterator for &'a Routes {
    type Item = &'a Route;
    type IntoIter = std::slice::Iter<'a, Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, route) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}={}", route.region, i32::from(route.dial))?;
        }
        Ok(())
    }
}
