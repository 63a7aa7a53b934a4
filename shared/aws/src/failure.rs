//! How a request failed, told apart once for all adapters.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use sentinel_core::evidence::ProbeOutcome;
use serde::Serialize;

/// Longest text kept of a client's or a service's words: enough to understand, too short to flood a log.
const DETAIL_CHARS: usize = 300;

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "failure", rename_all = "kebab-case")]
pub enum Failure {
    /// DNS, connect or TLS failed, the connection broke, or what came back was no answer.
    /// The service may have acted on the request.
    Connection {
        /// What the client said.
        detail: String,
    },
    /// No complete answer in time. The service may still act on the request.
    Deadline,
    /// The service answered with an error.
    Status {
        /// HTTP status code.
        status: u16,
        /// Error code, if the answer had one; answers to HEAD have none.
        code: Option<String>,
        /// The service's words.
        message: Option<String>,
    },
    /// No credentials could be had, or the request could not be built: nothing was sent.
    Client {
        /// What the client said.
        detail: String,
    },
}

impl Failure {
    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's error code, if the answer had one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Status { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Whether the service may have acted, or may yet act, although the client saw no success:
    /// no answer, or an answer that leaves it open (5xx).
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Deadline => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Client { .. } => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { detail } => write!(f, "no connection ({detail})"),
            Self::Deadline => f.write_str("no answer in time"),
            Self::Status {
                status,
                code,
                message,
            } => {
                write!(f, "HTTP {status}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                if let Some(message) = message {
                    write!(f, ": {message}")?;
                }
                Ok(())
            }
            Self::Client { detail } => write!(f, "nothing was sent ({detail})"),
        }
    }
}

impl StdError for Failure {}

impl From<Failure> for ProbeOutcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connection { detail } => Self::Connection { detail },
            Failure::Deadline => Self::Deadline,
            Failure::Status { status, code, .. } => Self::Status { status, code },
            // Nothing was asked, so it is the observer that is sick, never the member.
            Failure::Client { detail } => Self::NoCredentials { detail },
        }
    }
}

/// What an SDK error says, by what happened on the wire rather than by the SDK's phase names.
pub fn failure_of<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    // The SDK reports a failing credentials provider like a failing connection.
    if let Some(credentials) = find_source::<CredentialsError>(error) {
        return Failure::Client {
            detail: words(credentials),
        };
    }
    match error {
        SdkError::ConstructionFailure(_) => Failure::Client {
            detail: words(error),
        },
        SdkError::TimeoutError(_) => Failure::Deadline,
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => Failure::Deadline,
        SdkError::ServiceError(answer) => Failure::Status {
            status: answer.raw().status().as_u16(),
            code: answer
                .err()
                .code()
                .or_else(|| element(answer.raw(), "Code"))
                .map(cut),
            message: answer
                .err()
                .message()
                .or_else(|| element(answer.raw(), "Message"))
                .map(cut),
        },
        // An answer that could not be understood. With an error status the status is the answer;
        // a success that cannot be read is no answer.
        SdkError::ResponseError(answer) if !answer.raw().status().is_success() => Failure::Status {
            status: answer.raw().status().as_u16(),
            code: None,
            message: Some(words(error)),
        },
        // Unclassified dispatch failures count as the connection's. If they were the client's
        // own, every member would fail alike and the observer be found sick that way.
        _ => Failure::Connection {
            detail: words(error),
        },
    }
}

/// What an SDK error says of the member that was probed.
pub fn outcome_of<E>(error: &SdkError<E, HttpResponse>) -> ProbeOutcome
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    failure_of(error).into()
}

/// The chain of an error's causes in one line, repeated words left out.
pub(crate) fn words(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    cut(&text)
}

/// The text of an element of an XML error. S3 Control wraps its errors in `ErrorResponse`, and the
/// SDK looks for them there; S3's own front end, which may answer in its place, does not.
fn element<'a>(answer: &'a HttpResponse, name: &str) -> Option<&'a str> {
    let body = std::str::from_utf8(answer.body().bytes()?).ok()?;
    let (_, after) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once('<')?;
    Some(text)
}

fn cut(text: &str) -> String {
    text.chars().take(DETAIL_CHARS).collect()
}

fn find_source<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
