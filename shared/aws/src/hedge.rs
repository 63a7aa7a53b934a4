//! One question to several endpoints, each asked while the one before still hangs.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use sentinel_core::names::Region;

use crate::control::{Try, TryOutcome};
use crate::edge::Edge;
use crate::failure::Failure;

/// Between the first pass over all endpoints and the second.
const PAUSE_BETWEEN_PASSES: Duration = Duration::from_millis(500);

/// Whom to ask and when.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The endpoints in the order in which they are asked.
    pub(crate) order: Vec<Region>,
    /// How long a try is waited for alone.
    pub(crate) hedge_delay: Duration,
    /// When to have returned.
    pub(crate) until: Timestamp,
}

/// How the asking ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// An endpoint answered.
    Answered { endpoint: Region, answer: T },
    /// No try succeeded, and at least one met a conflict.
    Conflict,
    /// No try succeeded, and an endpoint refused for good.
    Refused { endpoint: Region, failure: Failure },
    /// Every endpoint failed.
    Exhausted,
    /// Time was up.
    TimeUp,
}

/// What a failed try means for the tries after it.
enum Meaning {
    /// This endpoint, at this moment: ask the next one, and this one again in the second pass.
    Passing,
    /// This endpoint altogether: ask the next one only.
    Endpoint,
    /// Another change came first. No more tries, but one that is out may be the change in question.
    Conflict,
    /// The request itself: no more tries.
    Refusal,
}

impl Meaning {
    fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Connection { .. } | Failure::Deadline => Self::Passing,
            Failure::Client { .. } => Self::Endpoint,
            Failure::Status { status, code, .. } => match (status, code.as_deref()) {
                // A Region that should serve this API and sends us elsewhere is out of order.
                (300..=399, _) => Self::Endpoint,
                (409, _) => Self::Conflict,
                (429 | 500.., _)
                | (
                    _,
                    Some(
                        "SlowDown"
                        | "Throttling"
                        | "ThrottlingException"
                        | "TooManyRequestsException",
                    ),
                ) => Self::Passing,
                _ => Self::Refusal,
            },
        }
    }
}

/// Asks until one answers; gives how it ended and all tries in the order in which they began.
///
/// A try that fails lets the next begin at once, one that hangs after the hedge delay. After a
/// conflict or a refusal no further try begins, but those that are out are waited for: each may
/// be the success that explains the conflict.
pub(crate) async fn ask_in_turn<T, F, Fut>(edge: &Edge, plan: Plan, ask: F) -> (Ended<T>, Vec<Try>)
where
    F: Fn(Region) -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut log = TryLog::default();
    let mut queue = VecDeque::from(plan.order);
    let mut second_pass = VecDeque::new();
    let mut is_second = false;
    let mut verdict: Option<Ended<T>> = None;
    let mut out = FuturesUnordered::new();
    let mut time_up = edge.timer(edge.left(plan.until));
    let mut hedge = edge.timer(plan.hedge_delay);

    let ended = loop {
        let is_time_up = edge.left(plan.until).is_zero();
        // Each turn of the loop follows a failed try or a hedge delay, so it begins the next try.
        if verdict.is_none()
            && !is_time_up
            && let Some(endpoint) = queue.pop_front()
        {
            let index = log.begin(endpoint.clone(), edge.now());
            let answer = ask(endpoint.clone());
            out.push(async move { (index, endpoint, answer.await) });
            hedge = edge.timer(plan.hedge_delay);
        }
        if out.is_empty() {
            if let Some(verdict) = verdict {
                break verdict;
            }
            if is_time_up {
                break Ended::TimeUp;
            }
            if is_second || second_pass.is_empty() || edge.left(plan.until) <= PAUSE_BETWEEN_PASSES
            {
                break Ended::Exhausted;
            }
            edge.sleep(PAUSE_BETWEEN_PASSES).await;
            is_second = true;
            queue = std::mem::take(&mut second_pass);
            continue;
        }
        tokio::select! {
            biased;
            Some((index, endpoint, result)) = out.next() => {
                match result {
                    Ok(answer) => {
                        log.end(index, edge.now(), TryOutcome::Answered);
                        break Ended::Answered { endpoint, answer };
                    }
                    Err(failure) => {
                        log.end(index, edge.now(), TryOutcome::Failed(failure.clone()));
                        match Meaning::of(&failure) {
                            Meaning::Passing => second_pass.push_back(endpoint),
                            Meaning::Conflict => verdict = Some(Ended::Conflict),
                            // A conflict says more: the routes are moving.
                            Meaning::Refusal if verdict.is_none() => {
                                verdict = Some(Ended::Refused { endpoint, failure });
                            }
                            Meaning::Endpoint | Meaning::Refusal => {}
                        }
                    }
                }
            }
            () = &mut time_up => break Ended::TimeUp,
            () = &mut hedge, if !queue.is_empty() && verdict.is_none() => {}
        }
    };
    drop(out);
    (ended, log.close(edge.now()))
}

/// Tries in the order in which they began; those without an end are still out.
#[derive(Default)]
struct TryLog(Vec<Begun>);

/// A try with its beginning and, once it has one, its end.
struct Begun {
    endpoint: Region,
    at: Timestamp,
    end: Option<(Timestamp, TryOutcome)>,
}

impl TryLog {
    fn begin(&mut self, endpoint: Region, at: Timestamp) -> usize {
        self.0.push(Begun {
            endpoint,
            at,
            end: None,
        });
        self.0.len() - 1
    }

    fn end(&mut self, index: usize, at: Timestamp, outcome: TryOutcome) {
        if let Some(begun) = self.0.get_mut(index) {
            begun.end = Some((at, outcome));
        }
    }

    /// All tries; those still out count as abandoned at `at`.
    fn close(self, at: Timestamp) -> Vec<Try> {
        self.0
            .into_iter()
            .map(|begun| {
                let (ended_at, outcome) = begun.end.unwrap_or((at, TryOutcome::Abandoned));
                Try {
                    endpoint: begun.endpoint,
                    started_at: begun.at,
                    ended_at,
                    outcome,
                }
            })
            .collect()
    }
}
