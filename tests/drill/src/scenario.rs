//! What a scenario is made of: a world, a script of things that happen, and what must come of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use simulator::cloudwatch::AlarmState;
use simulator::{Encryption, Fault, JobRules, Outage, SimTime, Timing, Versioning};

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
    /// The control Region is lost with everything that runs in it, for so long.
    LoseControl(Duration),
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
    /// The state of another alarm is set by hand.
    Ring {
        /// Its name.
        alarm: String,
        /// The state.
        state: AlarmState,
    },
    /// Copying what is written under a prefix takes so many milliseconds from now on.
    Slow {
        /// Source bucket.
        source: String,
        /// Destination bucket.
        destination: String,
        /// Beginning of the keys.
        prefix: String,
        /// How long.
        delay: RangeInclusive<u64>,
    },
    /// Replication from one member to another is refused for this reason, or works again.
    Refuse {
        /// Source bucket.
        source: String,
        /// Destination bucket.
        destination: String,
        /// One of S3's documented failure reasons.
        reason: Option<&'static str>,
    },
    /// A bucket's versioning changes.
    Versioning {
        /// The bucket.
        bucket: String,
        /// From now on.
        versioning: Versioning,
    },
    /// Somebody's import: so many objects are written straight into a bucket and acknowledged.
    Import {
        /// The bucket.
        bucket: String,
        /// How many.
        objects: u64,
        /// The time it takes.
        over: Duration,
    },
    /// Somebody deletes imported versions for good, one in so many.
    DeleteForGood {
        /// The bucket that they were imported into.
        source: String,
        /// The bucket in which they are deleted.
        bucket: String,
        /// Which share.
        one_in: usize,
    },
    /// A KMS key is disabled, or enabled again.
    Key {
        /// ARN of the key.
        key: String,
        /// Whether it works.
        enabled: bool,
    },
    /// Somebody edits a replication rule of the mesh.
    Rule {
        /// Source bucket.
        source: String,
        /// Destination bucket.
        destination: String,
        /// What is different from now on.
        change: RuleChange,
    },
    /// Somebody changes what a bucket encrypts new objects with.
    Encrypt {
        /// The bucket.
        bucket: String,
        /// From now on.
        encryption: Encryption,
    },
    /// An operator has everything of a bucket replicated that never was, and confirms the price.
    SweepUnreplicated {
        /// The bucket.
        source: String,
    },
    /// Somebody sends a message to the queue of replication events.
    Message(String),
    /// As soon as a third of a job with so many versions or more has run, something happens, and
    /// is undone later.
    WhileJobRuns {
        /// How large the job is at least.
        objects: u64,
        /// What a spectator is told.
        story: String,
        /// What happens.
        action: Box<Action>,
        /// How long it lasts.
        then: Duration,
        /// What a spectator is told when it is undone.
        end: String,
        /// What undoes it.
        undo: Box<Action>,
    },
    /// An operator invokes the `redrive` function.
    Redrive(Value),
    /// Once people were told of this event: somebody does what the page says, and then has the
    /// group that it names tried again.
    MendAndRetry {
        /// The page.
        event: &'static str,
        /// How long it takes them.
        after: Duration,
        /// What a spectator is told.
        story: String,
        /// The remedy.
        remedy: Box<Action>,
    },
}

/// An edit of a replication rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// Whether it is enabled.
    Enabled(bool),
    /// Key for replicas; without one objects under KMS are not replicated.
    ReplicaKey(Option<String>),
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

/// What becomes of the health check's wake-ups on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// They reach `failover`.
    Arrive,
    /// None does.
    Lost,
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
    /// How jobs behave where AWS leaves it open.
    pub jobs: JobRules,
    /// Whether the health check runs, and feeds the alarms with its metrics as the template has it.
    /// Otherwise an outside prober feeds them, and `failover` probes by itself.
    pub health_check: Option<Wakes>,
    /// Whether a witness runs too, beside the health check.
    pub witness: bool,
    /// Settings of `health-check` beyond the usual ones.
    pub health: BTreeMap<String, String>,
    /// Settings of `failover` beyond the usual ones.
    pub settings: BTreeMap<String, String>,
    /// Settings of `redrive` beyond the usual ones.
    pub redrive: BTreeMap<String, String>,
    /// Members whose default encryption is SSE-KMS, with the ARN of their key.
    pub encrypted: BTreeMap<String, String>,
    /// Whether the readiness check runs, every hour.
    pub is_checked: bool,
    /// Names of further alarms beside those about members.
    pub alarms: Vec<String>,
    /// Mean time between two requests of a client, where it is not the usual one.
    pub pace: Option<Duration>,
    /// Probability that an invocation of `replication-events` or `redrive` dies in the middle.
    pub deaths: f64,
    /// Probability that the queue delivers a message once more than it had to.
    pub repeats: f64,
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
            jobs: JobRules::default(),
            health_check: None,
            witness: false,
            health: BTreeMap::new(),
            settings: BTreeMap::new(),
            redrive: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            is_checked: false,
            alarms: Vec::new(),
            pace: None,
            deaths: 0.0,
            repeats: 0.02,
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
    /// With the health check.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.health_check = Some(Wakes::Arrive);
        self
    }

    /// With the health check, and a witness in another Region.
    #[must_use]
    pub fn witnessed(mut self) -> Self {
        self.witness = true;
        self.watched()
    }

    /// With a third member in Tokyo.
    #[must_use]
    pub fn with_tokyo(mut self) -> Self {
        self.members
            .extend(members(&[("app-apne1", "ap-northeast-1")]));
        self
    }

    /// With the readiness check on its schedule.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.is_checked = true;
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
