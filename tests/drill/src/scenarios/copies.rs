//! Replication that fails, and comes home.

use std::collections::BTreeMap;
use std::time::Duration;

use simulator::{SimTime, Timing, Versioning};

use super::expect::Expect;
use super::{DUBLIN, HOME, around, minutes};
use crate::backlog::Job;
use crate::history::{Ending, Function, History};
use crate::scenario::{Action, Scenario, Stage};
use crate::verdict::Violation;

const USE1: &str = "app-use1";
const EUW1: &str = "app-euw1";
const APNE1: &str = "app-apne1";

/// A message of nobody's language.
const NONSENSE: &str = r#"{"Records":[{"eventVersion":"2.2""#;

/// A sample comes a quarter of an hour after a group is held, the next ones half an hour and an
/// hour later: whatever is mended within two hours is home well before this.
const LONG: Duration = Duration::from_hours(5);

/// What replication from one bucket to another is refused for, and from when to when.
struct Refusal {
    source: &'static str,
    destination: &'static str,
    reason: &'static str,
    from: SimTime,
    until: SimTime,
}

impl Refusal {
    fn action(&self, on: bool) -> Action {
        Action::Refuse {
            source: self.source.to_owned(),
            destination: self.destination.to_owned(),
            reason: on.then_some(self.reason),
        }
    }
}

/// A few clients' requests: what is rehearsed here comes with imports.
fn quiet() -> Stage {
    Stage {
        pace: Some(Duration::from_secs(5)),
        ..Stage::default()
    }
}

impl Stage {
    fn refused(self, refusal: &Refusal, lost: &str, found: &str) -> Self {
        self.step(refusal.from, lost, refusal.action(true)).step(
            refusal.until,
            found,
            refusal.action(false),
        )
    }

    fn import(self, at: SimTime, bucket: &str, objects: u64, over: Duration) -> Self {
        let story = format!("somebody imports {objects} objects into {bucket}");
        let action = Action::Import {
            bucket: bucket.to_owned(),
            objects,
            over,
        };
        self.step(at, story, action)
    }

    fn redrive(mut self, name: &str, value: u64) -> Self {
        self.redrive.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Expect<'_> {
    /// So many copies failed, or more; all that could arrived, without anybody's help.
    fn all_came_home(self, at_least: u64) -> Self {
        let nobody = self
            .history
            .invoked(Function::Redrive)
            .all(|one| !matches!(one.cause, crate::history::Cause::Operator(_)));
        self.that(nobody, "nobody has to do anything")
            .everything_is_done(at_least)
    }

    /// So many copies failed, or more, and something has become of every one of them.
    fn everything_is_done(self, at_least: u64) -> Self {
        let counts = crate::numbers::measure(self.history).redrive;
        self.that(
            counts.failures >= at_least,
            &format!("at least {at_least} failed copies, not {}", counts.failures),
        )
        .that(
            counts.open == 0,
            &format!("no copy left waiting, not {}", counts.open),
        )
        .that(
            counts.abandoned == 0,
            &format!("no copy given up, not {}", counts.abandoned),
        )
        .that(counts.redriven > 0, "copies that were re-driven")
    }

    /// No job was for versions that were everywhere before.
    fn nothing_is_copied_twice(self) -> Self {
        let backlog = &self.history.backlog;
        let needless = |job: &Job| {
            let mut tasks = job.tasks.iter();
            tasks.any(|(key, version)| {
                let copies = backlog.copies_of(&job.source, key, version);
                let there = |at: Option<SimTime>| at.is_some_and(|at| at < job.created);
                !copies.is_empty() && copies.iter().all(|copy| there(copy.arrived))
            })
        };
        let job = backlog.jobs.iter().find(|job| needless(job));
        let text = job.map_or_else(String::new, |job| format!(", as in {}", job.id));
        let expected = format!("no job for versions that have arrived{text}");
        self.that(job.is_none(), &expected)
    }

    /// S3 ran so many jobs.
    fn jobs(self, expected: std::ops::RangeInclusive<usize>) -> Self {
        let really = self.history.backlog.jobs.len();
        let text = format!("{expected:?} jobs, not {really}");
        self.that(expected.contains(&really), &text)
    }

    /// Groups with this reason were held, and people were told of each once.
    fn paged_for(self, reason: &str, groups: usize) -> Self {
        let ids = self.history.backlog.groups.iter();
        let ids: Vec<String> = ids
            .filter(|(_, seen)| seen.group.reason == reason)
            .map(|(id, _)| id.to_string())
            .collect();
        let told = |id: &String| {
            let pages = self.history.pages().into_iter();
            let pages = pages.filter(|page| crate::history::body(page)["group"] == **id);
            pages.count() > 0
        };
        let text = format!("{groups} groups with {reason}, not {}", ids.len());
        let all_told = ids.iter().all(told);
        self.that(ids.len() == groups, &text)
            .that(all_told, "people are told of each group")
    }
}

pub(super) const REPLICATION_PERMISSION_LOSS: Scenario = Scenario {
    name: "replication-permission-loss",
    story: "For an hour S3 may not assume the replication role, and thousands of copies to eu-west-1 fail.\n\
            People are told once; a sample finds that the role works again, and everything comes home by itself.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: EUW1,
            reason: "AssumeRoleNotPermitted",
            from: around(dice, 20),
            until: around(dice, 80),
        };
        Stage {
            length: LONG,
            ..quiet()
        }
        .mark("mended", refusal.until)
        .refused(
            &refusal,
            "an edit of the replication role's trust policy locks S3 out",
            "the role's trust policy is as it was",
        )
        .import(refusal.from + minutes(10), USE1, 3000, minutes(30))
    },
    expect: |history| {
        Expect::of(history)
            .all_came_home(3000)
            .paged_for("AssumeRoleNotPermitted", 1)
            .nothing_is_copied_twice()
            // Three or four samples, and what has piled up.
            .jobs(3..=9)
            .nothing_moved()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const KMS_KEY_DISABLED: Scenario = Scenario {
    name: "kms-key-disabled",
    story: "Somebody disables the KMS key of the bucket in eu-west-1; no copy can be written there.\n\
            The page names the key, somebody enables it again, and everything comes home by itself.",
    stage: |dice| {
        let from = around(dice, 20);
        let until = from + minutes(dice.u64(30..60));
        let key = |region| format!("arn:aws:kms:{region}:{}:key/data", crate::ACCOUNT);
        let turn = |enabled| Action::Key {
            key: key(DUBLIN),
            enabled,
        };
        Stage {
            length: LONG,
            encrypted: BTreeMap::from([
                (USE1.to_owned(), key(HOME)),
                (EUW1.to_owned(), key(DUBLIN)),
            ]),
            ..quiet()
        }
        .import(from + minutes(5), USE1, 1500, minutes(10))
        .step(from, "the key of app-euw1 is disabled", turn(false))
        .step(until, "the key of app-euw1 is enabled again", turn(true))
    },
    expect: |history| {
        Expect::of(history)
            .all_came_home(1500)
            .paged_for("DstKmsKeyInvalidState", 1)
            .nothing_is_copied_twice()
            .jobs(2..=9)
            .nothing_moved()
            .done()
    },
};

pub(super) const DESTINATION_UNVERSIONED: Scenario = Scenario {
    name: "destination-unversioned",
    story: "Versioning of the bucket in eu-west-1 is suspended, so S3 gives up every copy to it.\n\
            Somebody is paged, mends it and says retry: it is tried at once, and everything comes home.",
    stage: |dice| {
        let from = around(dice, 20);
        let after = minutes(dice.u64(20..50));
        let turn = |versioning| Action::Versioning {
            bucket: EUW1.to_owned(),
            versioning,
        };
        Stage {
            length: Duration::from_hours(4),
            ..quiet()
        }
        .import(from + minutes(1), USE1, 1200, minutes(15))
        .mark("mended at the latest", from + after + minutes(10))
        .step(
            from,
            "versioning of app-euw1 is suspended",
            turn(Versioning::Suspended),
        )
        .step(
            from,
            "",
            Action::MendAndRetry {
                event: "replication-failing",
                after,
                story: "somebody enables versioning of app-euw1, and says retry".to_owned(),
                remedy: Box::new(turn(Versioning::Enabled)),
            },
        )
    },
    expect: |history| {
        let mended = history.stage.at("mended at the latest");
        // The sample, the batch that is collected for a quarter of an hour, and its job.
        let soon = mended + minutes(45);
        let late = history.backlog.copies.iter().filter(|copy| {
            copy.first < mended - minutes(15) && copy.arrived.is_none_or(|at| at > soon)
        });
        let late = late.count();
        Expect::of(history)
            .everything_is_done(1200)
            .paged_for("DstBucketUnversioned", 1)
            .that(
                late == 0,
                &format!("all copies soon after the retry, not {late} of them later"),
            )
            .redrive_got(&["retrying"])
            .jobs(2..=9)
            .done()
    },
};

pub(super) const THREE_MEMBERS_ONE_BROKEN: Scenario = Scenario {
    name: "three-members-one-broken",
    story: "All three members are active, and ap-northeast-1 refuses the copies of both others for an hour.\n\
            Only these wait and are sent again; what goes between the other two is left alone.",
    stage: |dice| {
        let (from, until) = (around(dice, 20), around(dice, 75));
        let refusal = |source| Refusal {
            source,
            destination: APNE1,
            reason: "DstPutObjectNotPermitted",
            from,
            until,
        };
        Stage {
            active_active: true,
            clients: [("app-us", HOME), ("app-eu", DUBLIN)]
                .map(|(label, region)| (label.to_owned(), region.to_owned()))
                .into(),
            length: LONG,
            ..quiet().with_tokyo()
        }
        .import(from + minutes(5), USE1, 1500, minutes(10))
        .import(from + minutes(7), EUW1, 1500, minutes(20))
        .refused(
            &refusal(USE1),
            "an edit of app-apne1's policy refuses replicas",
            "app-apne1 takes replicas again",
        )
        .refused(&refusal(EUW1), "", "")
    },
    expect: |history| {
        let elsewhere = history.backlog.copies.iter();
        let elsewhere = elsewhere.filter(|copy| &*copy.destination != APNE1).count();
        Expect::of(history)
            .all_came_home(3000)
            .paged_for("DstPutObjectNotPermitted", 2)
            .that(elsewhere == 0, "nothing fails between the other two")
            .nothing_is_copied_twice()
            .jobs(4..=18)
            .nothing_moved()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const OBJECTS_DELETED_MEANWHILE: Scenario = Scenario {
    name: "objects-deleted-meanwhile",
    story: "While ap-northeast-1 refuses copies, a third of them is deleted for good at home, and copies elsewhere too.\n\
            What is gone is settled as gone, what is left arrives, and nobody is asked about either.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: APNE1,
            reason: "DstPutObjectNotPermitted",
            from: around(dice, 20),
            until: around(dice, 75),
        };
        let gone = |bucket: &str, one_in| Action::DeleteForGood {
            source: USE1.to_owned(),
            bucket: bucket.to_owned(),
            one_in,
        };
        let middle = refusal.from + minutes(dice.u64(15..45));
        Stage {
            length: LONG,
            ..quiet().with_tokyo()
        }
        .import(refusal.from + minutes(2), USE1, 900, minutes(10))
        .refused(
            &refusal,
            "an edit of app-apne1's policy refuses replicas",
            "app-apne1 takes replicas again",
        )
        .step(
            middle,
            "every third import is deleted for good",
            gone(USE1, 3),
        )
        .step(
            middle,
            "every fifth copy in app-euw1 is deleted for good",
            gone(EUW1, 5),
        )
    },
    expect: |history| {
        let counts = crate::numbers::measure(history).redrive;
        Expect::of(history)
            .all_came_home(900)
            .that(counts.settled >= 300, "what is gone is settled")
            .paged_for("DstPutObjectNotPermitted", 1)
            .jobs(2..=12)
            .nothing_moved()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const JOB_FAILS_HALF: Scenario = Scenario {
    name: "job-fails-half",
    story: "The cause of an hour of failures seems mended, a sample arrives, and it is back while all the rest is re-driven.\n\
            S3 gives the job up half way; what was not copied waits again, and comes home when it is really mended.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: EUW1,
            reason: "AssumeRoleNotPermitted",
            from: around(dice, 20),
            until: around(dice, 50),
        };
        Stage {
            length: Duration::from_hours(6),
            timing: Timing {
                // The job has to last long enough for something to happen meanwhile.
                job_tasks_per_second: 10,
                ..Timing::default()
            },
            ..quiet()
        }
        .redrive("REDRIVE_SAMPLE_MAX_SECONDS", 1800)
        .import(refusal.from + minutes(5), USE1, 3000, minutes(10))
        .refused(
            &refusal,
            "an edit of the replication role's trust policy locks S3 out",
            "the role's trust policy is as it was",
        )
        .step(
            refusal.until,
            "",
            Action::WhileJobRuns {
                objects: 1000,
                story: "the edit of the trust policy is rolled out once more".to_owned(),
                action: Box::new(refusal.action(true)),
                then: minutes(dice.u64(20..40)),
                end: "the role's trust policy is as it was, for good".to_owned(),
                undo: Box::new(refusal.action(false)),
            },
        )
    },
    expect: |history| {
        let failed = history
            .backlog
            .jobs
            .iter()
            .filter(|job| job.status == "Failed");
        Expect::of(history)
            .all_came_home(3000)
            .that(failed.count() > 0, "a job that S3 gives up")
            .jobs(4..=16)
            .nothing_moved()
            .done()
    },
};

pub(super) const EVENT_STORM: Scenario = Scenario {
    name: "event-storm",
    story: "A million objects are imported while S3 may not assume the replication role: a million copies fail.\n\
            The queue, the ledger and few large jobs take them all, within a function's memory, and all come home.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: EUW1,
            reason: "AssumeRoleNotPermitted",
            from: around(dice, 15),
            until: around(dice, 50),
        };
        Stage {
            length: Duration::from_hours(4),
            ..quiet()
        }
        .import(refusal.from + minutes(1), USE1, 1_000_000, minutes(20))
        .refused(
            &refusal,
            "an edit of the replication role's trust policy locks S3 out",
            "the role's trust policy is as it was",
        )
    },
    expect: |history| {
        let copies = history.acknowledged.len() as u64;
        Expect::of(history)
            .all_came_home(copies / 2)
            .paged_for("AssumeRoleNotPermitted", 1)
            .nothing_is_copied_twice()
            .jobs(2..=20)
            .nothing_moved()
            .no_invocation_failed()
            .done()
    },
};

pub(super) const DUPLICATE_EVENTS: Scenario = Scenario {
    name: "duplicate-events",
    story: "S3 and the queue deliver events twice, hours late and out of order, and somebody sends nonsense in between.\n\
            Every failed copy is re-driven once, what was settled stays settled, and only the nonsense is set aside.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: EUW1,
            reason: "AssumeRoleNotPermitted",
            from: around(dice, 20),
            until: around(dice, 35),
        };
        Stage {
            length: Duration::from_hours(6),
            timing: Timing {
                duplicate_event: 0.5,
                late_event: 0.3,
                late_event_delivery: 30_000..=3 * 3_600_000,
                records_per_message: 1..=6,
                ..Timing::default()
            },
            repeats: 0.25,
            ..quiet()
        }
        .import(refusal.from + minutes(1), USE1, 1200, minutes(10))
        .refused(
            &refusal,
            "an edit of the replication role's trust policy locks S3 out",
            "the role's trust policy is as it was",
        )
        .step(
            refusal.from + minutes(3),
            "a message of nobody's language comes into the queue",
            Action::Message(NONSENSE.to_owned()),
        )
    },
    expect: |history| {
        let letters = &history.backlog.letters;
        let dead = &letters.dead;
        let set_aside = !dead.is_empty() && dead.iter().all(|letter| letter == NONSENSE);
        Expect::of(history)
            .all_came_home(1200)
            .that(
                set_aside,
                "the nonsense, and nothing else, among the dead letters",
            )
            .that(letters.left == 0, "nothing left in the queue")
            .that(letters.repeated > 100, "many repeated deliveries")
            // Late events trickle in for three hours.
            .jobs(2..=24)
            .nothing_is_copied_twice()
            .nothing_moved()
            .done()
    },
};

pub(super) const REDRIVE_CRASH: Scenario = Scenario {
    name: "redrive-crash",
    story: "Replication fails for half an hour, and the collector and the re-drive die in the middle of things, again and again.\n\
            Nothing is lost and nothing is copied twice: what was begun is gone on with.",
    stage: |dice| {
        let refusal = Refusal {
            source: USE1,
            destination: EUW1,
            reason: "AssumeRoleNotPermitted",
            from: around(dice, 20),
            until: around(dice, 45),
        };
        Stage {
            length: LONG,
            deaths: 0.6,
            ..quiet()
        }
        .import(refusal.from + minutes(1), USE1, 600, minutes(10))
        .refused(
            &refusal,
            "an edit of the replication role's trust policy locks S3 out",
            "the role's trust policy is as it was",
        )
    },
    expect: crashed_and_went_on,
};

fn crashed_and_went_on(history: &History) -> Vec<Violation> {
    let died = |function| {
        let invoked = history.invoked(function);
        invoked.filter(|one| one.ending == Ending::Crashed).count()
    };
    Expect::of(history)
        .all_came_home(600)
        .that(
            died(Function::Redrive) > 20,
            "invocations of redrive that die",
        )
        .that(
            died(Function::ReplicationEvents) > 0,
            "invocations of the collector that die",
        )
        .paged_for("AssumeRoleNotPermitted", 1)
        .nothing_is_copied_twice()
        .nothing_moved()
        .done()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn causes_are_mended_before_the_third_sample() {
        for seed in 0..50 {
            let stage = (REPLICATION_PERMISSION_LOSS.stage)(&mut Rng::with_seed(seed));
            let mended = stage.at("mended");
            assert!(mended + minutes(180) < SimTime::ZERO + stage.length);
        }
    }
}
