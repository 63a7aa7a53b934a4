//! What a scenario is made of: a world, a script of things that happen, and what must come of it.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use simulator::cloudwatch::AlarmState;
use simulator::{Fault, Outage, SimTime, Timing};

use crate::history::History;
use crate::verdict::Violation;

/// Virtual time that a run takes unless its scenario says otherwise.
pub const LENGTH: Duration = Duration::from_hours(2);

/// A rehearsed outage.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Name on the command line.
    pub name: &'static str,
    /// What happens and what should come of it, in two lines.
    pub story: &'static str,
    /// Sets the stage; the dice vary delays, kinds and moments with the seed.
    pub stage: fn(&mut Rng) -> Stage,
    /// What must come of it beyond the invariants.
    pub expect: fn(&History) -> Vec<Violation>,
}

/// A member of the access point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Bucket.
    pub bucket: String,
    /// Region.
    pub region: String,
}

/// How a state change of an alarm reaches the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// EventBridge, direct Lambda action or SNS, drawn anew for each.
    Mixed,
    /// EventBridge only.
    EventBridge,
    /// All three at once, each its own invocation.
    All,
}

/// Something that is done to the world, or that an operator does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A Region goes down.
    Outage(Outage),
    /// A fault is installed (it carries its own times).
    Fault(Fault),
    /// Somebody turns dials in the console: member Regions and dials.
    Console(Vec<(String, u8)>),
    /// An operator invokes the function.
    Command(Value),
    /// An operator invokes the function so long after the routes changed for the first time.
    CommandAfterMove(Duration, Value),
    /// An operator asks for the status and acknowledges the incident it names.
    Acknowledge,
    /// The alarm of a member Region is muted until then.
    Mute {
        /// The member Region.
        region: String,
        /// The end of the window.
        until: SimTime,
    },
    /// The state of a member Region's alarm is forced, as by broken monitoring.
    ForceAlarm {
        /// The member Region.
        region: String,
        /// The state.
        state: AlarmState,
    },
}

/// One line of the script.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When.
    pub at: SimTime,
    /// What a spectator is told.
    pub story: String,
    /// What happens; nothing for a line that only tells.
    pub action: Option<Action>,
}

/// Holds back alarm events on their way to the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Changes to this state.
    pub state: AlarmState,
    /// For how long; for ever if absent.
    pub by: Option<Duration>,
}

/// The trouble that the numbers are measured from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When it begins.
    pub at: SimTime,
    /// The Region that it strikes.
    pub region: String,
}

/// Everything a run starts from.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Members, home first.
    pub members: Vec<Member>,
    /// Whether all members are active at the start.
    pub active_active: bool,
    /// Labels of the client workloads and the Regions that they are near.
    pub clients: Vec<(String, String)>,
    /// What happens.
    pub script: Vec<Step>,
    /// How alarms arrive.
    pub channels: Channels,
    /// Alarm events that arrive late or never.
    pub delays: Vec<Delay>,
    /// Delays of the world.
    pub timing: Timing,
    /// Settings beyond the usual ones.
    pub settings: BTreeMap<String, String>,
    /// Virtual time that the run takes.
    pub length: Duration,
    /// What the numbers are measured from.
    pub trouble: Option<Trouble>,
    /// Moments that expectations refer to.
    pub marks: BTreeMap<&'static str, SimTime>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            members: members(&[("app-use1", "us-east-1"), ("app-euw1", "eu-west-1")]),
            active_active: false,
            clients: vec![("app".to_owned(), "us-east-1".to_owned())],
            script: Vec::new(),
            channels: Channels::Mixed,
            delays: Vec::new(),
            timing: Timing::default(),
            settings: BTreeMap::new(),
            length: LENGTH,
            trouble: None,
            marks: BTreeMap::new(),
        }
    }
}

/// Members by bucket and Region.
#[must_use]
pub fn members(list: &[(&str, &str)]) -> Vec<Member> {
    list.iter()
        .map(|(bucket, region)| Member {
            bucket: (*bucket).to_owned(),
            region: (*region).to_owned(),
        })
        .collect()
}

impl Stage {
    /// With a third member in Tokyo.
    #[must_use]
    pub fn with_tokyo(mut self) -> Self {
        self.members
            .extend(members(&[("app-apne1", "ap-northeast-1")]));
        self
    }

    /// Measures from here.
    #[must_use]
    pub fn trouble(mut self, region: &str, at: SimTime) -> Self {
        self.trouble = Some(Trouble {
            at,
            region: region.to_owned(),
        });
        self
    }

    /// Names a moment.
    #[must_use]
    pub fn mark(mut self, name: &'static str, at: SimTime) -> Self {
        self.marks.insert(name, at);
        self
    }

    /// Adds a line that only tells.
    #[must_use]
    pub fn tell(mut self, at: SimTime, story: impl Into<String>) -> Self {
        self.script.push(Step {
            at,
            story: story.into(),
            action: None,
        });
        self
    }

    /// Adds a line with an action.
    #[must_use]
    pub fn step(mut self, at: SimTime, story: impl Into<String>, action: Action) -> Self {
        self.script.push(Step {
            at,
            story: story.into(),
            action: Some(action),
        });
        self
    }

    /// Adds an outage, and the line that it is over.
    #[must_use]
    pub fn outage(self, outage: Outage, story: impl Into<String>) -> Self {
        let (from, until) = (outage.from, outage.until);
        let back = format!("{} is back", outage.region);
        let staged = self.step(from, story, Action::Outage(outage));
        match until {
            Some(until) => staged.tell(until, back),
            None => staged,
        }
    }

    /// Adds a fault at its start.
    #[must_use]
    pub fn fault(self, fault: Fault, story: impl Into<String>) -> Self {
        self.step(fault.from, story, Action::Fault(fault))
    }

    /// Adds an operator's command.
    #[must_use]
    pub fn command(self, at: SimTime, story: impl Into<String>, command: Value) -> Self {
        self.step(at, story, Action::Command(command))
    }

    /// The bucket of a member Region.
    ///
    /// # Panics
    /// If there is no such member.
    #[must_use]
    pub fn bucket(&self, region: &str) -> &str {
        let member = self.members.iter().find(|member| member.region == region);
        &member.expect("a member Region").bucket
    }

    /// A named moment.
    ///
    /// # Panics
    /// If it was not named.
    #[must_use]
    pub fn at(&self, mark: &str) -> SimTime {
        self.marks[mark]
    }
}
