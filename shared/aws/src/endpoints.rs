//! Endpoint overrides: `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>`.
//!
//! The SDK's endpoint rules do not honour an override everywhere: S3 Control puts the account id
//! before its host, and for the ARN of a Multi-Region Access Point the S3 rules ignore it, so
//! that a test would talk to AWS. So these two services' rules are not told of the override.
//! They resolve as if for AWS, for the path and the signing properties that they choose, and
//! then the authority is replaced. SNS and CloudWatch honour an override by themselves.

use std::fmt;

use aws_smithy_runtime_api::client::endpoint::EndpointFuture;
use aws_smithy_types::endpoint::Endpoint;
use url::Url;

/// A service that an override can be given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// S3, the Multi-Region Access Point's data plane included.
    S3,
    /// S3 Control: the routes.
    S3Control,
    /// SNS.
    Sns,
    /// CloudWatch.
    CloudWatch,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::S3, Self::S3Control, Self::Sns, Self::CloudWatch];

    /// The environment variable that overrides this service's endpoint alone.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ENDPOINT_URL_S3",
            Self::S3Control => "AWS_ENDPOINT_URL_S3_CONTROL",
            Self::Sns => "AWS_ENDPOINT_URL_SNS",
            Self::CloudWatch => "AWS_ENDPOINT_URL_CLOUDWATCH",
        }
    }

    /// The name used for retry partitions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::S3Control => "s3control",
            Self::Sns => "sns",
            Self::CloudWatch => "cloudwatch",
        }
    }
}

/// An endpoint URL that is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {value:?} is not an endpoint URL such as http://127.0.0.1:4566: {reason}")]
pub struct EndpointError {
    /// The environment variable.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The endpoint overrides in force. The default is none: AWS itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOverrides {
    all: Option<Override>,
    services: [Option<Override>; 4],
}

impl EndpointOverrides {
    /// Every service at this URL.
    ///
    /// # Errors
    /// [`EndpointError`] if it is no http or https URL with a host and nothing behind the path.
    pub fn everything_at(url: &str) -> Result<Self, EndpointError> {
        Self::from_lookup(|name| (name == "AWS_ENDPOINT_URL").then(|| url.to_owned()))
    }

    /// Reads the variables of the SDK's contract through `lookup`; an empty value is no value.
    ///
    /// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true` switches all of them off, as in every AWS SDK.
    ///
    /// # Errors
    /// [`EndpointError`] names the variable that is not usable.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        if lookup("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        {
            return Ok(Self::default());
        }
        let read = |variable: &'static str| {
            lookup(variable)
                .filter(|value| !value.is_empty())
                .map(|value| Override::parse(variable, &value))
                .transpose()
        };
        let [s3, s3control, sns, cloudwatch] = Service::ALL.map(|service| read(service.variable()));
        Ok(Self {
            all: read("AWS_ENDPOINT_URL")?,
            services: [s3?, s3control?, sns?, cloudwatch?],
        })
    }

    pub(crate) fn of(&self, service: Service) -> Option<&Override> {
        let [s3, s3control, sns, cloudwatch] = &self.services;
        match service {
            Service::S3 => s3,
            Service::S3Control => s3control,
            Service::Sns => sns,
            Service::CloudWatch => cloudwatch,
        }
        .as_ref()
        .or(self.all.as_ref())
    }
}

/// A checked endpoint URL, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override(String);

impl Override {
    fn parse(variable: &'static str, value: &str) -> Result<Self, EndpointError> {
        let wrong = |reason: String| EndpointError {
            variable,
            value: value.to_owned(),
            reason,
        };
        let url = Url::parse(value).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("the scheme must be http or https".to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it has no host".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError {
                variable,
                value: format!("{}://(withheld)", url.scheme()),
                reason: "it must not carry credentials".to_owned(),
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must end with the path".to_owned()));
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The resolved endpoint at this override's authority, its path and properties kept.
    fn instead_of(&self, resolved: &Endpoint) -> Result<Endpoint, url::ParseError> {
        let original = Url::parse(resolved.url())?;
        let path = original.path().trim_end_matches('/');
        Ok(resolved
            .clone()
            .into_builder()
            .url(format!("{}{path}", self.0))
            .build())
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The S3 rules with every request, by bucket name or by ARN, at the override's authority.
#[derive(Debug)]
pub(crate) struct S3Resolver {
    rules: aws_sdk_s3::config::endpoint::DefaultResolver,
    to: Override,
}

impl S3Resolver {
    pub(crate) fn new(to: Override) -> Self {
        Self {
            rules: aws_sdk_s3::config::endpoint::DefaultResolver::new(),
            to,
        }
    }
}

impl aws_sdk_s3::config::endpoint::ResolveEndpoint for S3Resolver {
    fn resolve_endpoint<'a>(
        &'a self,
        params: &'a aws_sdk_s3::config::endpoint::Params,
    ) -> EndpointFuture<'a> {
        EndpointFuture::new(async move {
            let is_arn = params.bucket().is_some_and(|name| name.starts_with("arn:"));
            if !is_arn {
                // Path style is switched on with the override, so the bucket is in the path.
                let resolved = self.rules.resolve_endpoint(params).await?;
                return Ok(self.to.instead_of(&resolved)?);
            }
            // The rules refuse path style for an ARN. Asked without it they give the real host
            // and the properties that make the request SigV4A.
            let plain = aws_sdk_s3::config::endpoint::Params::builder()
                .set_bucket(params.bucket().map(str::to_owned))
                .set_region(params.region().map(str::to_owned))
                .set_key(params.key().map(str::to_owned))
                .build()?;
            let resolved = self.rules.resolve_endpoint(&plain).await?;
            let host = Url::parse(resolved.url())?
                .host_str()
                .map(str::to_owned)
                .ok_or("the S3 endpoint rules gave no host for an ARN")?;
            // The header tells the other side which access point is meant; being there before
            // signing, it is the host that is signed.
            let endpoint = self.to.instead_of(&resolved)?.into_builder();
            Ok(endpoint.header("host", host).build())
        })
    }
}

/// The S3 Control rules without their account-id host prefix; the account is in `x-amz-account-id` too.
#[derive(Debug)]
pub(crate) struct S3ControlResolver {
    rules: aws_sdk_s3control::config::endpoint::DefaultResolver,
    to: Override,
}

impl S3ControlResolver {
    pub(crate) fn new(to: Override) -> Self {
        Self {
            rules: aws_sdk_s3control::config::endpoint::DefaultResolver::new(),
            to,
        }
    }
}

impl aws_sdk_s3control::config::endpoint::ResolveEndpoint for S3ControlResolver {
    fn resolve_endpoint<'a>(
        &'a self,
        params: &'a aws_sdk_s3control::config::endpoint::Params,
    ) -> EndpointFuture<'a> {
        EndpointFuture::new(async move {
            let resolved = self.rules.resolve_endpoint(params).await?;
            Ok(self.to.instead_of(&resolved)?)
        })
    }
}
