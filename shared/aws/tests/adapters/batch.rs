//! Batch Operations jobs: what is asked for, and what an answer means.

use jiff::Timestamp;
use sentinel_aws::batch::{BatchJobs, Created, NewJob, Work};
use sentinel_core::names::{BucketName, Region};
use sentinel_core::redrive::job::{
    GatherCursor, Gathered, Job, JobId, JobKind, JobName, Manifest, Phase, Sweep, SweepStatus,
    Token,
};

use crate::wire::{Reply, Request, World, answer, error};

const ROLE: &str = "arn:aws:iam::111122223333:role/mrap-sentinel-batch";

fn world(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (World, BatchJobs) {
    let world = World::new(script);
    let jobs = BatchJobs::new(world.edge(), "111122223333");
    (world, jobs)
}

fn region() -> Region {
    "eu-west-1".parse().unwrap()
}

fn bucket(name: &str) -> BucketName {
    name.parse().unwrap()
}

fn manifest() -> Manifest {
    Manifest {
        bucket: bucket("work-euw1"),
        key: "mrap-sentinel/a.mrap/j/manifest.csv".to_owned(),
        etag: "0123-2".to_owned(),
        objects: 3,
    }
}

fn token() -> Token {
    let planned_at: Timestamp = "2026-11-20T16:59:03Z".parse().unwrap();
    let source = bucket("app-euw1");
    let job = Job {
        name: JobName::new(planned_at, &source, 0),
        kind: JobKind::Release,
        source,
        groups: Vec::new(),
        inputs: Vec::new(),
        limit: 1,
        attempts: 1,
        not_before: planned_at,
        planned_at,
        phase: Phase::Gather {
            cursor: GatherCursor::default(),
        },
    };
    let gathered = Gathered {
        manifest: Some(manifest()),
        ..Gathered::default()
    };
    let token = Token::new(&job, &gathered);
    assert_eq!(token.as_str().len(), 64);
    assert_eq!(token, Token::new(&job, &gathered), "the same manifest");
    token
}

async fn create(jobs: &BatchJobs, what: Work<'_>) -> Created {
    let new = NewJob {
        region: &region(),
        what,
        token: &token(),
        description: "mrap-sentinel a.mrap j 0123",
        role: ROLE,
        report_bucket: &bucket("work-euw1"),
        report_prefix: "mrap-sentinel/a.mrap/j",
        tags: &[("mrap-sentinel", "a.mrap"), ("job", "j")],
    };
    jobs.create(&new).await
}

const CREATED: &str = "<CreateJobResult><JobId>00e123a4</JobId></CreateJobResult>";

#[tokio::test(start_paused = true)]
async fn a_job_states_everything() {
    let (world, jobs) = world(|_| answer(200, CREATED));
    let manifest = manifest();
    let created = create(&jobs, Work::Manifest(&manifest)).await;
    assert_eq!(created, Created::Job(JobId("00e123a4".to_owned())));
    let [request] = &world.requests()[..] else {
        panic!("one request")
    };
    assert_eq!(request.region(), "eu-west-1", "the source's Region");
    assert_eq!(request.method, "POST");
    for part in [
        "<ConfirmationRequired>false</ConfirmationRequired>",
        "<Priority>0</Priority>",
        "<S3ReplicateObject",
        "<Format>S3BatchOperations_CSV_20180820</Format>",
        "<member>Bucket</member><member>Key</member><member>VersionId</member>",
        "<ObjectArn>arn:aws:s3:::work-euw1/mrap-sentinel/a.mrap/j/manifest.csv</ObjectArn>",
        "<ETag>0123-2</ETag>",
        "<Enabled>true</Enabled>",
        "<Bucket>arn:aws:s3:::work-euw1</Bucket>",
        "<Prefix>mrap-sentinel/a.mrap/j</Prefix>",
        "<ReportScope>AllTasks</ReportScope>",
        "<Description>mrap-sentinel a.mrap j 0123</Description>",
        "<Key>mrap-sentinel</Key><Value>a.mrap</Value>",
        &format!("<RoleArn>{ROLE}</RoleArn>"),
        &format!(
            "<ClientRequestToken>{}</ClientRequestToken>",
            token().as_str()
        ),
    ] {
        assert!(request.body.contains(part), "{part} in {}", request.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_lets_s3_find_the_versions() {
    let (world, jobs) = world(|_| answer(200, CREATED));
    let filter = Sweep {
        statuses: vec![SweepStatus::Failed],
        created_after: Some("2026-11-20T15:00:00Z".parse().unwrap()),
    };
    let source = bucket("app-euw1");
    let what = Work::Sweep {
        source: &source,
        filter: &filter,
    };
    assert!(matches!(create(&jobs, what).await, Created::Job(_)));
    let body = &world.requests()[0].body;
    for part in [
        "<SourceBucket>arn:aws:s3:::app-euw1</SourceBucket>",
        "<EligibleForReplication>true</EligibleForReplication>",
        "<ObjectReplicationStatuses><member>FAILED</member></ObjectReplicationStatuses>",
        "<CreatedAfter>2026-11-20T15:00:00Z</CreatedAfter>",
        "<EnableManifestOutput>false</EnableManifestOutput>",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(!body.contains("<Manifest>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_tells_whether_to_come_again() {
    type Kind = fn(&Created) -> bool;
    let later: Kind = |created| matches!(created, Created::Later(_));
    let refused: Kind = |created| matches!(created, Created::Refused(_));
    let used: Kind = |created| *created == Created::TokenUsed;
    for (status, code, expected) in [
        (400, "TooManyRequestsException", later),
        (503, "SlowDown", later),
        (500, "InternalServiceException", later),
        (400, "IdempotencyException", used),
        (400, "BadRequestException", refused),
        (403, "AccessDenied", refused),
    ] {
        let (_, jobs) = world(move |_| error(status, code));
        let created = create(&jobs, Work::Manifest(&manifest())).await;
        assert!(expected(&created), "{status} {code}: {created:?}");
    }
    let (world_, jobs) = world(|_| Reply::Hang);
    let created = create(&jobs, Work::Manifest(&manifest())).await;
    assert!(later(&created), "it may exist: {created:?}");
    let tokens: Vec<_> = world_
        .requests()
        .iter()
        .map(|request| request.body.contains(token().as_str()))
        .collect();
    assert!(tokens.iter().all(|same| *same) && !tokens.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_is_found_by_its_description_on_any_page() {
    let list = |jobs: &str, next: &str| {
        answer(
            200,
            format!("<ListJobsResult><Jobs>{jobs}</Jobs>{next}</ListJobsResult>"),
        )
    };
    let job = |id: &str, text: &str| {
        format!("<member><JobId>{id}</JobId><Description>{text}</Description></member>")
    };
    let (world, jobs) = world(move |request| {
        if request.path().contains("nextToken=more") {
            list(&job("wanted-job", "ours"), "")
        } else {
            list(&job("other-job", "ours too"), "<NextToken>more</NextToken>")
        }
    });
    let found = jobs.find(&region(), "ours").await;
    assert_eq!(found, Ok(Some(JobId("wanted-job".to_owned()))));
    assert_eq!(jobs.find(&region(), "nobody's").await, Ok(None));
    assert_eq!(world.requests().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_s3_does_not_know_is_no_failure() {
    let (_, jobs) = world(|_| error(404, "NoSuchJob"));
    let id = JobId("00e123a4".to_owned());
    assert_eq!(jobs.describe(&region(), &id).await, Ok(None));

    let (_, jobs) = world(|_| {
        answer(
            200,
            "<DescribeJobResult><Job><JobId>00e123a4</JobId><Status>Failed</Status>\
             <ProgressSummary><TotalNumberOfTasks>5</TotalNumberOfTasks><NumberOfTasksSucceeded>2</NumberOfTasksSucceeded><NumberOfTasksFailed>3</NumberOfTasksFailed></ProgressSummary>\
             <FailureReasons><member><FailureCode>403</FailureCode><FailureReason>Reading the manifest is forbidden</FailureReason></member></FailureReasons></Job></DescribeJobResult>",
        )
    });
    let facts = jobs.describe(&region(), &id).await.unwrap().unwrap();
    assert_eq!(facts.progress.status, "Failed");
    assert_eq!(
        (
            facts.progress.total,
            facts.progress.succeeded,
            facts.progress.failed
        ),
        (5, 2, 3)
    );
    assert_eq!(facts.reasons, ["403: Reading the manifest is forbidden"]);

    let (_, jobs) = world(|_| error(403, "AccessDenied"));
    assert!(jobs.describe(&region(), &id).await.is_err());
}
