//! What people are told of re-drives, as announcements in the outbox.
//!
//! Every notice says what happened, what it means, what happens next without them, and what to do,
//! with commands ready to paste. None names an object.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::apply::{Desk, Part};
use super::job::{JobKind, JobName, Outcome};
use super::price::Micros;
use super::state::{Asked, GroupPhase, GroupRecord, OpenJob, RedriveState, kind_name};
use crate::announce::{Announcement, Event, Letter, OUTBOX_KEPT, Severity, enqueue};
use crate::ledger::{Group, GroupId, HANDED_OVER, How};
use crate::notice::invoke_with;
use crate::reasons::{Class, Reason, classify};
use crate::settings::RedriveMode;

/// The field of the announcement about those that were dropped: how many.
const UNSAID: &str = "unsaid";

/// The command that invokes the `redrive` function with this payload, ready to paste.
#[must_use]
pub fn invoke(payload: &Value) -> String {
    invoke_with("REDRIVE_FUNCTION", payload)
}

/// So many versions.
#[must_use]
pub fn versions(count: u64) -> String {
    match count {
        1 => "1 object version".to_owned(),
        count => format!("{count} object versions"),
    }
}

/// A time to the second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A duration as people say it.
#[must_use]
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        s if s > 0 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s > 0 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// `app-use1 -> app-euw1`.
fn way(group: &Group) -> String {
    match group.destination.bucket() {
        Some(bucket) => format!("{} -> {bucket}", group.source),
        None => format!("{} -> its destinations", group.source),
    }
}

/// The group as a sentence's subject.
fn subject_of(group: &Group) -> String {
    let to = match group.destination.bucket() {
        Some(bucket) => format!("to {bucket}"),
        None => "to the destinations of its rules".to_owned(),
    };
    let rule = if group.destination.bucket().is_some() {
        format!(" by rule {}", group.rule)
    } else {
        String::new()
    };
    format!("from {} {to}{rule}", group.source)
}

/// What an announcement is made of, besides what they have in common.
struct Page<'a> {
    event: Event,
    severity: Severity,
    scope: &'a str,
    step: &'a str,
    region: &'a str,
    headline: &'a str,
    explanation: String,
    advice: Vec<String>,
    body: Value,
}

impl Desk<'_> {
    fn page(&self, state: &mut RedriveState, page: Page<'_>) {
        let mut body = page.body;
        if let Value::Object(fields) = &mut body {
            fields.insert("explanation".to_owned(), json!(page.explanation));
        }
        let group = body.get("group").and_then(Value::as_str).map(str::to_owned);
        let job = body.get("job").and_then(Value::as_str).map(str::to_owned);
        let footer: Vec<(&str, &str)> = [("Group", group.as_deref()), ("Job", job.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let letter = Letter {
            event: page.event,
            severity: page.severity,
            scope: page.scope,
            step: page.step,
            region: page.region,
            headline: page.headline,
            explanation: &page.explanation,
            advice: &page.advice,
            details: "",
            footer: &footer,
            incident: None,
            body,
        };
        let announcement = Announcement::write(&self.settings.mrap, letter, self.now);
        let gone = enqueue(&mut state.outbox, announcement);
        if !gone.is_empty() {
            self.fold(state, &gone);
        }
    }

    /// Says in one announcement how many could not be said for want of room: no topic takes
    /// anything, or far too much happens at once.
    fn fold(&self, state: &mut RedriveState, gone: &[Announcement]) {
        let counted = |one: &Announcement| one.body.get(UNSAID).and_then(Value::as_u64);
        let before: u64 = state.outbox.iter().filter_map(counted).sum();
        let more: u64 = gone.iter().map(|one| counted(one).unwrap_or(1)).sum();
        state.outbox.retain(|one| counted(one).is_none());
        let count = before + more;
        let explanation = format!(
            "{count} announcements had to be dropped before a topic took them: at most {OUTBOX_KEPT} wait, and the least urgent go first. What they were about is kept; redrive-status shows every group, what waits for a person, and the jobs."
        );
        let letter = Letter {
            event: Event::RedriveStuck,
            severity: Severity::Warning,
            scope: self.settings.mrap.alias(),
            step: &format!("{UNSAID}-{}-{count}", self.now.as_second()),
            region: "",
            headline: "announcements of re-drives were dropped",
            explanation: &explanation,
            advice: &[
                format!(
                    "To see what they were about: {}",
                    invoke(&json!({"command":"redrive-status"}))
                ),
                "See to it that the topics of TOPIC_ARNS exist and that this function may publish on them.".to_owned(),
            ],
            details: "",
            footer: &[],
            incident: None,
            body: json!({UNSAID: count, "explanation": explanation}),
        };
        // Beyond the limit, or it would make another one go.
        let announcement = Announcement::write(&self.settings.mrap, letter, self.now);
        state.outbox.push(announcement);
    }

    fn region(&self, group: &Group) -> &str {
        self.settings
            .region_of(&group.source)
            .map_or("", |region| region.as_str())
    }

    /// An announcement about a group.
    fn page_group(&self, state: &mut RedriveState, record: &GroupRecord, about: About) {
        let group = &record.group;
        let id = group.id().to_string();
        let mut body = json!({
            "group": id,
            "source": group.source,
            "destination": group.destination,
            "rule": group.rule,
            "reason": group.reason,
            "state": record.phase.as_str(),
            "replicated": record.replicated,
            "final": record.finals,
            "handedOver": record.handed_over,
        });
        if let (Value::Object(fields), Value::Object(more)) = (&mut body, about.figures) {
            fields.extend(more);
            if let GroupPhase::Held { next_sample_at, .. } = record.phase {
                fields.insert("nextSampleAt".to_owned(), json!(next_sample_at));
            }
        }
        let page = Page {
            event: about.event,
            severity: about.severity,
            scope: &id,
            step: &about.step,
            region: self.region(group),
            headline: &about.headline,
            explanation: about.explanation,
            advice: about.advice,
            body,
        };
        self.page(state, page);
    }

    /// What happens to a held group without anybody.
    fn what_next(&self, record: &GroupRecord) -> String {
        let thresholds = &self.settings.thresholds;
        if self.settings.mode == RedriveMode::Observe {
            return "REDRIVE is observe, so nothing is re-driven until somebody sends retry; the versions are kept in the ledger."
                .to_owned();
        }
        let GroupPhase::Held { next_sample_at, .. } = record.phase else {
            return String::new();
        };
        format!(
            "The versions are kept in the ledger. A sample of up to {} of them is re-driven at {}, then ever more slowly, at least every {}; when a sample arrives, all of them follow by themselves.",
            thresholds.sample_objects,
            second(next_sample_at),
            span(thresholds.sample_max)
        )
    }

    fn remedies(record: &GroupRecord, reason: &Reason) -> Vec<String> {
        let id = record.group.id();
        vec![
            reason.remedy_for(&record.group),
            format!("To see the cause: {}", reason.look_for(&record.group)),
            format!(
                "When it is mended, to re-drive at once: {}",
                invoke(&json!({"command":"retry","group":id,"reason":"mended"}))
            ),
            format!(
                "If these versions may stay away for good: {}",
                invoke(&json!({"command":"abandon","group":id,"reason":"…"}))
            ),
        ]
    }

    /// Versions fail for a reason that somebody has to mend.
    pub(super) fn tell_failing(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        rows: u64,
        oldest: Option<Timestamp>,
        again: Option<&str>,
    ) {
        let group = &record.group;
        let reason = classify(&group.reason);
        let since = oldest.map_or_else(String::new, |at| format!(" since {}", second(at)));
        let why = match again {
            Some(why) => format!(" The group is held again: {why}."),
            None => String::new(),
        };
        let explanation = format!(
            "{}{since} could not be replicated {}. S3's reason is {}: {} S3 does not try them again by itself.{why} {}",
            versions(rows),
            subject_of(group),
            group.reason,
            reason.meaning,
            self.what_next(record)
        );
        // One more try is all that it takes: nobody has to be quick.
        let severity = if reason.class == Class::OnceMore {
            Severity::Info
        } else {
            Severity::Warning
        };
        let about = About {
            event: Event::ReplicationFailing,
            severity,
            step: record.episode.to_string(),
            headline: format!("replication {} fails: {}", way(group), group.reason),
            explanation,
            advice: Self::remedies(record, reason),
            figures: json!({"rows": rows, "oldest": oldest, "episode": record.episode}),
        };
        self.page_group(state, record, about);
    }

    /// A sample arrived.
    pub(super) fn tell_sample_arrived(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        arrived: u64,
        rows: u64,
    ) {
        let group = &record.group;
        let next = if self.settings.mode == RedriveMode::Observe && record.asked.is_none() {
            "REDRIVE is observe: send retry to have the rest re-driven."
        } else {
            "The rest of the group is re-driven now; a message follows when all have arrived."
        };
        let about = About {
            event: Event::SampleArrived,
            severity: Severity::Info,
            step: format!("{}-{}", record.episode, self.now.as_second()),
            headline: format!("replication {} works again: {}", way(group), group.reason),
            explanation: format!(
                "{arrived} of {} that were re-driven {} as a sample arrived, so the cause ({}) seems to be gone. {next}",
                versions(rows),
                subject_of(group),
                group.reason
            ),
            advice: Vec::new(),
            figures: json!({"rows": rows, "arrived": arrived}),
        };
        self.page_group(state, record, about);
    }

    /// A sample did not arrive.
    pub(super) fn tell_sample_failed(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        open: &OpenJob,
        part: &Part,
    ) {
        let group = &record.group;
        let Outcome {
            failed,
            not_run,
            pending,
            moving,
            ..
        } = part.outcome;
        let pending = pending + moving;
        let what = match &open.failure {
            Some(failure) => format!("The job of a sample failed ({failure})"),
            None if part.cancelled => "The job of a sample was cancelled".to_owned(),
            None => format!(
                "Of a sample of {} {} {failed} failed again, {pending} were still pending after {}, {not_run} were not tried",
                versions(part.rows),
                subject_of(group),
                span(self.settings.thresholds.proof)
            ),
        };
        let about = About {
            event: Event::SampleFailed,
            severity: Severity::Info,
            step: open.job.name.to_string(),
            headline: format!("replication {} still fails: {}", way(group), group.reason),
            explanation: format!(
                "{what}: the cause ({}) seems to be there still. {}",
                group.reason,
                self.what_next(record)
            ),
            advice: Self::remedies(record, classify(&group.reason)),
            figures: json!({"failed": failed, "pending": pending, "notRun": not_run, "job": open.job.name}),
        };
        self.page_group(state, record, about);
    }

    /// Nothing of a group is open any more.
    pub(super) fn tell_closed(&self, state: &mut RedriveState, record: &GroupRecord) {
        let group = &record.group;
        let rest: Vec<String> = [
            (record.finals, "were settled with a final reason"),
            (record.abandoned, "were given up"),
            (record.handed_over, "were handed over and wait for a person"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", versions(count)))
        .collect();
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!(" Besides, {}.", rest.join(", "))
        };
        let redriven = match record.replicated {
            0 if rest.is_empty() => {
                "it had been settled before, so nothing was re-driven".to_owned()
            }
            0 => "nothing was re-driven".to_owned(),
            count => format!(
                "{} were re-driven and found in the destination",
                versions(count)
            ),
        };
        let about = About {
            event: Event::Redriven,
            severity: Severity::Info,
            step: record.episode.to_string(),
            headline: format!("nothing is open any more: {} {}", way(group), group.reason),
            explanation: format!(
                "Nothing that failed {} because of {} is open any more: {redriven}.{rest}",
                subject_of(group),
                group.reason
            ),
            advice: Vec::new(),
            figures: json!({}),
        };
        self.page_group(state, record, about);
    }

    /// Versions were settled that no re-drive can help.
    pub(super) fn tell_final(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        how: How,
        rows: u64,
    ) {
        let group = &record.group;
        let reason = classify(&group.reason);
        let about = About {
            event: Event::SettledFinal,
            severity: Severity::Info,
            step: record.episode.to_string(),
            headline: format!("settled as {how}: {} {}", way(group), group.reason),
            explanation: format!(
                "{} that could not be replicated {} were settled as {how}. S3's reason is {}: {} No re-drive can help, so none is made; later ones of this group are settled alike, without a message.",
                versions(rows),
                subject_of(group),
                group.reason,
                reason.meaning
            ),
            advice: vec![reason.remedy_for(group)],
            figures: json!({"rows": rows, "how": how}),
        };
        self.page_group(state, record, about);
    }

    /// Versions were given to a person.
    pub(super) fn tell_handed_over(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        rows: u64,
        job: &JobName,
    ) {
        let group = &record.group;
        let reason = classify(&group.reason);
        let id = group.id();
        let thresholds = &self.settings.thresholds;
        let place = format!("s3://{}/{HANDED_OVER}{id}/", self.settings.state_bucket);
        let mut advice = vec![
            reason.remedy_for(group),
            format!("To see which they are: aws s3 ls {place}"),
        ];
        advice.push(format!(
            "When the cause is gone, to bring them back: {}",
            invoke(&json!({"command":"retry","group":id,"reason":"mended"}))
        ));
        let about = About {
            event: Event::HandedOver,
            severity: Severity::Warning,
            step: job.to_string(),
            headline: format!("given up: {} of {} {}", rows, way(group), group.reason),
            explanation: format!(
                "{} that could not be replicated {} because of {} are handed over to you: they were in {} jobs, or failed more than {} ago. Nothing is tried with them any more. They are listed in {place}",
                versions(rows),
                subject_of(group),
                group.reason,
                thresholds.attempts,
                span(thresholds.age)
            ),
            advice,
            figures: json!({"rows": rows, "place": place, "job": job}),
        };
        self.page_group(state, record, about);
    }

    /// An operator's wish to give a group up is carried out.
    pub(super) fn tell_abandoned(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        asked: &Asked,
    ) {
        let group = &record.group;
        let about = About {
            event: Event::GroupAbandoned,
            severity: Severity::Info,
            step: asked.at.as_second().to_string(),
            headline: format!("given up by an operator: {} {}", way(group), group.reason),
            explanation: format!(
                "{} that could not be replicated {} because of {} were given up by an operator ({}). They stay in the source and are missing in the destination. What fails from now on is a new matter.",
                versions(record.abandoned),
                subject_of(group),
                group.reason,
                asked.reason
            ),
            advice: Vec::new(),
            figures: json!({"abandoned": record.abandoned}),
        };
        self.page_group(state, record, about);
    }

    /// A group has more versions than are kept.
    pub(super) fn tell_overflow(
        &self,
        state: &mut RedriveState,
        record: &GroupRecord,
        begin: Timestamp,
    ) {
        let group = &record.group;
        let about = About {
            event: Event::GroupOverflowed,
            severity: Severity::Warning,
            step: record.episode.to_string(),
            headline: format!("too many to list: {} {}", way(group), group.reason),
            explanation: format!(
                "More than {} could not be replicated {} because of {}. From now on they are counted and no longer listed: when a sample arrives, S3 itself looks for what failed in {} among what was created after {}, and re-drives it for whatever reason it failed.",
                versions(self.settings.thresholds.group_sweep),
                subject_of(group),
                group.reason,
                group.source,
                second(begin)
            ),
            advice: Self::remedies(record, classify(&group.reason)),
            figures: json!({"createdAfter": begin}),
        };
        self.page_group(state, record, about);
    }

    /// Versions are open whose source is no member.
    pub(super) fn tell_foreign_source(&self, state: &mut RedriveState, record: &GroupRecord) {
        let group = &record.group;
        let id = group.id();
        let about = About {
            event: Event::SourceUnknown,
            severity: Severity::Warning,
            step: group.source.to_string(),
            headline: format!("{} is no member, but has open versions", group.source),
            explanation: format!(
                "The ledger holds versions that could not be replicated {} because of {}, but MEMBERS does not name {}: its Region is not known, so no job can be created for it. They stay in the ledger.",
                subject_of(group),
                group.reason,
                group.source
            ),
            advice: vec![
                format!(
                    "If {} still belongs to the access point, add it to MEMBERS and WORK_BUCKETS.",
                    group.source
                ),
                format!(
                    "If it does not: {}",
                    invoke(&json!({"command":"abandon","group":id,"reason":"no member any more"}))
                ),
            ],
            figures: json!({}),
        };
        self.page_group(state, record, about);
    }

    fn job_body(open: &OpenJob) -> Value {
        json!({
            "job": open.job.name,
            "kind": kind_name(&open.job.kind),
            "source": open.job.source,
            "groups": open.job.groups.iter().map(Group::id).collect::<Vec<GroupId>>(),
        })
    }

    fn page_job(&self, state: &mut RedriveState, open: &OpenJob, about: About) {
        let mut body = Self::job_body(open);
        if let (Value::Object(fields), Value::Object(more)) = (&mut body, about.figures) {
            fields.extend(more);
        }
        let region = self
            .settings
            .region_of(&open.job.source)
            .map_or("", |region| region.as_str());
        let page = Page {
            event: about.event,
            severity: about.severity,
            scope: open.job.name.as_str(),
            step: &about.step,
            region,
            headline: &about.headline,
            explanation: about.explanation,
            advice: about.advice,
            body,
        };
        self.page(state, page);
    }

    /// A job failed, was refused, or gave no report.
    pub(super) fn tell_job_failed(&self, state: &mut RedriveState, open: &OpenJob, failure: &str) {
        let kind = kind_name(&open.job.kind);
        let source = &open.job.source;
        let about = About {
            event: Event::JobFailed,
            severity: Severity::Warning,
            step: String::new(),
            headline: format!("{kind} job for {source} failed"),
            explanation: format!(
                "The {kind} job {} for {source} failed: {failure}. Its versions are open again, and their groups are held until a sample arrives; none is lost.",
                open.job.name
            ),
            advice: vec![
                "Look at the job's own reason first: the Batch role's permissions and trust, the work bucket's policy and encryption are the usual causes.".to_owned(),
                format!("Jobs of this Region: aws s3control list-jobs --account-id {} --region {}",
                    self.settings.mrap.account(),
                    self.settings.region_of(source).map_or("REGION", |region| region.as_str())),
            ],
            figures: json!({"failure": failure}),
        };
        self.page_job(state, open, about);
    }

    /// Work on a job fails again and again.
    pub(super) fn tell_stuck(&self, state: &mut RedriveState, open: &OpenJob) {
        let error = open.last_error.clone().unwrap_or_default();
        let about = About {
            event: Event::RedriveStuck,
            severity: Severity::Warning,
            step: self.now.as_second().to_string(),
            headline: format!("no progress with a job for {}", open.job.source),
            explanation: format!(
                "Work on job {} for {} has failed {} times in a row, now with: {error}. It is tried again every {} at the latest; nothing is lost, but re-drives from {} wait for it.",
                open.job.name,
                open.job.source,
                open.errors,
                span(SignedDuration::from_mins(15)),
                open.job.source
            ),
            advice: vec![
                "If a Region or S3 is in trouble, wait: it goes on by itself.".to_owned(),
                "If it says AccessDenied or NoSuchBucket, compare this function's role, the work bucket and the state bucket with the deployed template.".to_owned(),
            ],
            figures: json!({"errors": open.errors, "error": error}),
        };
        self.page_job(state, open, about);
    }

    /// A job takes very long.
    pub(super) fn tell_overdue(
        &self,
        state: &mut RedriveState,
        open: &OpenJob,
        created_at: Timestamp,
    ) {
        let progress = open.progress.clone().unwrap_or_default();
        let about = About {
            event: Event::JobOverdue,
            severity: Severity::Warning,
            step: String::new(),
            headline: format!("a job for {} takes more than a day", open.job.source),
            explanation: format!(
                "Job {} for {} was created at {} and is {} at S3: {} of {} tasks done. Further re-drives from there wait for it.",
                open.job.name,
                open.job.source,
                second(created_at),
                if progress.status.is_empty() { "not known" } else { &progress.status },
                progress.succeeded + progress.failed,
                progress.total
            ),
            advice: vec![
                "Paused means that jobs of higher priority come first: the account runs six at once.".to_owned(),
                "A job that you cancel at S3 is settled like any other; what it did not reach stays open.".to_owned(),
            ],
            figures: json!({"progress": progress}),
        };
        self.page_job(state, open, about);
    }

    /// A sweep is over.
    pub(super) fn tell_sweep(&self, state: &mut RedriveState, open: &OpenJob, sum: &Outcome) {
        let JobKind::Sweep(sweep) = &open.job.kind else {
            return;
        };
        let statuses: Vec<&str> = sweep
            .statuses
            .iter()
            .map(|status| status.as_str())
            .collect();
        let proof = open.proof.unwrap_or_default();
        // What was looked for and did not arrive is among what was initiated.
        let refused = (sum.failed + sum.pending).saturating_sub(proof.missing);
        let gone = proof.looked;
        let gone = gone.saturating_sub(proof.arrived + proof.missing + sum.moving);
        let initiated = sum.initiated.max(sum.arrived);
        let finals = sum.finals.saturating_sub(gone);
        let found = initiated + sum.already + refused + finals + sum.not_run;
        let seen = if proof.looked == 0 && initiated > 0 {
            ", and none of those could be looked for".to_owned()
        } else if proof.looked == 0 {
            String::new()
        } else if proof.looked < initiated {
            format!(
                " (of a sample of {}, {} arrived)",
                proof.looked, proof.arrived
            )
        } else {
            format!(" ({} arrived)", proof.arrived)
        };
        let explanation = match &open.failure {
            Some(failure) => format!(
                "The sweep of {} for {} failed: {failure}.",
                open.job.source,
                statuses.join(", ")
            ),
            None if found == 0 => format!(
                "The sweep of {} for {} found nothing: there is nothing to re-drive.",
                open.job.source,
                statuses.join(", ")
            ),
            None => format!(
                "The sweep of {} for {} found {}: {initiated} were re-driven{seen}, {} had arrived already, {refused} failed, {finals} were settled with a final reason, {} were not tried. What failed or did not arrive is held by its reason, and paged for.",
                open.job.source,
                statuses.join(", "),
                versions(found),
                sum.already,
                sum.not_run
            ),
        };
        let about = About {
            event: Event::SweepEnded,
            severity: Severity::Info,
            step: String::new(),
            headline: format!("sweep of {} is over", open.job.source),
            explanation,
            advice: Vec::new(),
            figures: json!({"result": sum, "proof": open.proof}),
        };
        self.page_job(state, open, about);
    }

    /// The money of the day is used up.
    pub(super) fn tell_budget(&self, state: &mut RedriveState, what: &str, cost: Micros) {
        let limit = Micros::dollars(self.settings.thresholds.daily_dollars);
        let spent = state.spent_today(self.now);
        let explanation = format!(
            "{spent} of {limit} (REDRIVE_DAILY_DOLLARS) were spent on jobs in the last 24 hours, too much to {what}. It waits until the oldest of them is a day old; nothing is lost."
        );
        let page = Page {
            event: Event::RedriveBudgetExhausted,
            severity: Severity::Warning,
            scope: self.settings.mrap.alias(),
            step: &self.now.as_second().to_string(),
            region: "",
            headline: "today's dollars for re-drives are used up",
            explanation,
            advice: vec![
                format!(
                    "To see what costs it: {}",
                    invoke(&json!({"command":"redrive-status"}))
                ),
                format!(
                    "To re-drive a group all the same: {}",
                    invoke(&json!({"command":"retry","group":"<group>","reason":"…"}))
                ),
                "If this is what your data costs, raise REDRIVE_DAILY_DOLLARS.".to_owned(),
            ],
            body: json!({"spent": spent.as_dollars(), "limit": limit.as_dollars(), "cost": cost.as_dollars()}),
        };
        self.page(state, page);
    }

    /// Jobs failed in a row.
    pub(super) fn tell_breaker_open(&self, state: &mut RedriveState) {
        let Some(open) = state.breaker.open.clone() else {
            return;
        };
        let failures = state.breaker.failures;
        let last = state.breaker.last_failure.clone().unwrap_or_default();
        let failed = if failures == 1 {
            "A re-drive job failed".to_owned()
        } else {
            format!("{failures} re-drive jobs in a row failed, the last one because")
        };
        let explanation = format!(
            "{failed}: {last}. No further job is created before {}; then one sample at a time is tried, and when one arrives, everything goes on. Failures are still collected; nothing is lost.",
            second(open.until)
        );
        let page = Page {
            event: Event::BreakerOpened,
            severity: Severity::Critical,
            scope: self.settings.mrap.alias(),
            step: &open.since.as_second().to_string(),
            region: "",
            headline: "re-drives stopped: jobs fail in a row",
            explanation,
            advice: vec![
                format!(
                    "To see the jobs and why they failed: {}",
                    invoke(&json!({"command":"redrive-status"}))
                ),
                format!(
                    "When the cause is gone, to go on at once: {}",
                    invoke(&json!({"command":"redrive-release","reason":"…"}))
                ),
            ],
            body: json!({"failures": failures, "lastFailure": last, "until": open.until}),
        };
        self.page(state, page);
    }

    /// Jobs are created again.
    pub(super) fn tell_breaker_closed(&self, state: &mut RedriveState, why: &str) {
        let page = Page {
            event: Event::BreakerClosed,
            severity: Severity::Info,
            scope: self.settings.mrap.alias(),
            step: &self.now.as_second().to_string(),
            region: "",
            headline: "re-drives go on",
            explanation: format!("Re-drive jobs are created again: {why}."),
            advice: Vec::new(),
            body: json!({}),
        };
        self.page(state, page);
    }

    /// Something that is no job's fails for a while.
    pub(super) fn tell_trouble(
        &self,
        state: &mut RedriveState,
        what: &str,
        error: &str,
        since: Timestamp,
    ) {
        let page = Page {
            event: Event::RedriveStuck,
            severity: Severity::Warning,
            scope: self.settings.mrap.alias(),
            step: &since.as_second().to_string(),
            region: "",
            headline: "re-drives cannot go on as they should",
            explanation: format!(
                "{what} has failed since {}, now with: {error}. Every tick tries again; nothing is lost.",
                second(since)
            ),
            advice: vec![
                "If the error names a file of the ledger and its schema, deploy the version that wrote it; if it names a torn file, restore the file's older version.".to_owned(),
            ],
            body: json!({"what": what, "error": error}),
        };
        self.page(state, page);
    }

    /// The page about a document that is lost. Not for the outbox, which is lost with it.
    #[must_use]
    pub fn lost(&self, error: &str) -> Announcement {
        let explanation = format!(
            "{error}. Failures are still collected into the ledger, and S3 finishes the jobs that it runs; but no sample, job or report is seen to, and no group is paged for."
        );
        let advice = [
            "Find the last good version and restore it with the commands above; the next tick goes on from there.".to_owned(),
            "CloudTrail's data events of the state bucket tell who changed it.".to_owned(),
        ];
        let letter = Letter {
            event: Event::StateLost,
            severity: Severity::Critical,
            scope: self.settings.mrap.alias(),
            step: &format!("redrive-{}", self.now.as_second() / 3600),
            region: "",
            headline: "the state of re-drives is lost",
            explanation: &explanation,
            advice: &advice,
            details: "",
            footer: &[],
            incident: None,
            body: json!({"explanation": explanation}),
        };
        Announcement::write(&self.settings.mrap, letter, self.now)
    }

    /// What an operator did.
    pub(super) fn tell_operator(
        &self,
        state: &mut RedriveState,
        event: Event,
        headline: &str,
        explanation: &str,
        group: Option<GroupId>,
    ) {
        let id = group.map(|group| group.to_string());
        let page = Page {
            event,
            severity: Severity::Info,
            scope: id.as_deref().unwrap_or(self.settings.mrap.alias()),
            step: self.request_id,
            region: "",
            headline,
            explanation: explanation.to_owned(),
            advice: Vec::new(),
            body: id
                .as_ref()
                .map_or_else(|| json!({}), |id| json!({"group": id})),
        };
        self.page(state, page);
    }
}

/// What is said of a group or a job.
struct About {
    event: Event,
    severity: Severity,
    step: String,
    headline: String,
    explanation: String,
    advice: Vec<String>,
    figures: Value,
}
