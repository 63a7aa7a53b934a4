//! From an HTTP request to a call: which service, which Region, which operation on what.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::Service;
use crate::wire::auth::Claims;
use crate::wire::{ServiceError, chunked, header, query};

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A bucket, or an object in it.
    Bucket { bucket: String, key: Option<String> },
    /// An MRAP's data plane; the bucket is found when a connection is opened.
    Mrap { alias: String, key: Option<String> },
    /// The routes of an MRAP, by the ARN in the path.
    Routes { arn: String },
    /// Batch Operations jobs, or one of them.
    Jobs { id: Option<String> },
    /// Anything else: SNS, `CloudWatch`, unknown paths.
    Other,
}

/// A request, understood as far as it goes without knowing the world.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) service: Service,
    /// Region of the endpoint; of the signature on loopback; empty on an MRAP.
    pub(crate) region: String,
    pub(crate) subject: Subject,
    pub(crate) operation: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) query: BTreeMap<String, String>,
    /// The query string, for parameters that may be there several times.
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    /// Decoded body.
    pub(crate) body: Bytes,
    pub(crate) claims: Result<Claims, ServiceError>,
    /// The account in the host name of S3 Control.
    pub(crate) host_account: Option<String>,
    /// Set if the body's declared encoding is broken.
    pub(crate) bad_encoding: bool,
}

impl Call {
    pub(crate) fn read(request: &http::Request<Bytes>) -> Self {
        let headers = request.headers().clone();
        let authority = header(&headers, "host")
            .map(str::to_owned)
            .or_else(|| request.uri().authority().map(ToString::to_string))
            .unwrap_or_default();
        let host = strip_port(&authority);
        let raw_path = request.uri().path();
        let claims = Claims::read(&headers);
        let mut endpoint = Endpoint::of_host(host)
            .unwrap_or_else(|| Endpoint::of_signature(claims.as_ref().ok(), raw_path));
        let raw_query = request.uri().query().unwrap_or_default().to_owned();
        let query = query::parse(&raw_query);
        let (body, trailer, bad_encoding) = decode_body(&headers, request.body());
        let mut headers = headers;
        for (name, value) in trailer {
            if let (Ok(name), Ok(value)) = (
                http::HeaderName::try_from(name),
                http::HeaderValue::try_from(value),
            ) {
                headers.insert(name, value);
            }
        }
        let subject = subject(&mut endpoint, raw_path);
        let operation = operation(
            &endpoint,
            &subject,
            request.method(),
            raw_path,
            &query,
            &headers,
            &body,
        );
        Self {
            service: endpoint.service,
            region: endpoint.region,
            subject,
            operation,
            method: request.method().clone(),
            path: raw_path.to_owned(),
            authority,
            query,
            raw_query,
            headers,
            body,
            claims,
            host_account: endpoint.account,
            bad_encoding,
        }
    }

    /// `bucket/key`, ARN, or path: what faults and the log name.
    pub(crate) fn resource(&self) -> String {
        match &self.subject {
            Subject::Bucket { bucket, key } => join(bucket, key.as_deref()),
            Subject::Mrap { alias, key } => join(alias, key.as_deref()),
            Subject::Routes { arn } => arn.clone(),
            Subject::Jobs { id } => join("jobs", id.as_deref()),
            Subject::Other if self.service == Service::Sns => {
                let form = query::parse(std::str::from_utf8(&self.body).unwrap_or_default());
                form.get("TopicArn").cloned().unwrap_or_default()
            }
            Subject::Other => self.path.clone(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn join(bucket: &str, key: Option<&str>) -> String {
    key.map_or_else(|| bucket.to_owned(), |key| format!("{bucket}/{key}"))
}

fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[derive(Debug)]
struct Endpoint {
    service: Service,
    region: String,
    account: Option<String>,
    /// Bucket or MRAP alias in the host name.
    bucket: Option<String>,
    mrap: bool,
}

impl Endpoint {
    fn new(service: Service, region: &str) -> Self {
        Self {
            service,
            region: region.to_owned(),
            account: None,
            bucket: None,
            mrap: false,
        }
    }

    /// By the names of AWS's endpoints.
    fn of_host(host: &str) -> Option<Self> {
        if let Some(alias) = host.strip_suffix(".accesspoint.s3-global.amazonaws.com") {
            let mut endpoint = Self::new(Service::S3, "");
            endpoint.bucket = Some(alias.to_owned());
            endpoint.mrap = true;
            return Some(endpoint);
        }
        let name = host.strip_suffix(".amazonaws.com")?;
        if name == "s3" {
            return Some(Self::new(Service::S3, "us-east-1"));
        }
        let (rest, region) = name.rsplit_once('.')?;
        let (prefix, service) = match rest.rsplit_once('.') {
            Some((prefix, service)) => (Some(prefix.to_owned()), service),
            None => (None, rest),
        };
        match service {
            "s3" => {
                let mut endpoint = Self::new(Service::S3, region);
                endpoint.bucket = prefix;
                Some(endpoint)
            }
            "s3-control" => {
                let mut endpoint = Self::new(Service::S3Control, region);
                endpoint.account = prefix;
                Some(endpoint)
            }
            "sns" if prefix.is_none() => Some(Self::new(Service::Sns, region)),
            "monitoring" if prefix.is_none() => Some(Self::new(Service::CloudWatch, region)),
            _ => None,
        }
    }

    /// On loopback: by the signature's scope, and the path for S3 Control.
    fn of_signature(claims: Option<&Claims>, path: &str) -> Self {
        let region = claims.map_or("us-east-1", |claims| claims.region.as_str());
        let service = match claims.map(|claims| claims.service.as_str()) {
            Some("sns") => Service::Sns,
            Some("monitoring") => Service::CloudWatch,
            _ if path.starts_with("/v20180820/") => Service::S3Control,
            _ => Service::S3,
        };
        Self::new(service, region)
    }
}

fn subject(endpoint: &mut Endpoint, raw_path: &str) -> Subject {
    match endpoint.service {
        Service::S3Control => {
            if let Some(jobs) = raw_path.strip_prefix("/v20180820/jobs") {
                let id = jobs.split('/').nth(1).map(query::decode);
                return Subject::Jobs { id };
            }
            let arn = raw_path
                .strip_prefix("/v20180820/mrap/instances/")
                .and_then(|rest| rest.strip_suffix("/routes"));
            arn.map_or(Subject::Other, |arn| Subject::Routes {
                arn: query::decode(arn),
            })
        }
        Service::Sns | Service::CloudWatch => Subject::Other,
        Service::S3 => {
            let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
            let key_of = |text: &str| (!text.is_empty()).then(|| query::decode(text));
            match endpoint.bucket.take() {
                Some(alias) if endpoint.mrap => Subject::Mrap {
                    alias,
                    key: key_of(path),
                },
                Some(bucket) => Subject::Bucket {
                    bucket,
                    key: key_of(path),
                },
                None => {
                    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                    if bucket.is_empty() {
                        return Subject::Other;
                    }
                    Subject::Bucket {
                        bucket: query::decode(bucket),
                        key: key_of(key),
                    }
                }
            }
        }
    }
}

fn operation(
    endpoint: &Endpoint,
    subject: &Subject,
    method: &Method,
    path: &str,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &[u8],
) -> String {
    let name = match endpoint.service {
        Service::S3Control => match (subject, method.as_str()) {
            (Subject::Routes { .. }, "GET") => "GetMultiRegionAccessPointRoutes",
            (Subject::Routes { .. }, "PATCH") => "SubmitMultiRegionAccessPointRoutes",
            (Subject::Jobs { id }, method) => job_operation(id.is_some(), path, method),
            _ => "Unknown",
        },
        Service::Sns => {
            let form = query::parse(std::str::from_utf8(body).unwrap_or_default());
            return form.get("Action").cloned().unwrap_or("Unknown".to_owned());
        }
        Service::CloudWatch => {
            let by_target = header(headers, "x-amz-target").and_then(|t| t.rsplit('.').next());
            let by_path = path.rsplit_once("/operation/").map(|(_, name)| name);
            return by_path.or(by_target).unwrap_or("Unknown").to_owned();
        }
        Service::S3 => {
            let (Subject::Bucket { key, .. } | Subject::Mrap { key, .. }) = subject else {
                return "Unknown".to_owned();
            };
            s3_operation(method.as_str(), key.is_some(), query, headers)
        }
    };
    name.to_owned()
}

fn job_operation(one: bool, path: &str, method: &str) -> &'static str {
    match (one, path.rsplit('/').next(), method) {
        (false, _, "POST") => "CreateJob",
        (false, _, "GET") => "ListJobs",
        (true, Some("status"), "POST") => "UpdateJobStatus",
        (true, Some("priority"), "POST") => "UpdateJobPriority",
        (true, _, "GET") => "DescribeJob",
        _ => "Unknown",
    }
}

fn s3_operation(
    method: &str,
    object: bool,
    query: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> &'static str {
    let has = |name: &str| query.contains_key(name);
    match (method, object) {
        ("HEAD", false) => "HeadBucket",
        ("GET", false) if has("versioning") => "GetBucketVersioning",
        ("GET", false) if has("location") => "GetBucketLocation",
        ("GET", false) if has("replication") => "GetBucketReplication",
        ("GET", false) if has("encryption") => "GetBucketEncryption",
        ("GET", false) if has("object-lock") => "GetObjectLockConfiguration",
        ("GET", false) if has("ownershipControls") => "GetBucketOwnershipControls",
        ("GET", false) if has("publicAccessBlock") => "GetPublicAccessBlock",
        ("GET", false) if has("policy") => "GetBucketPolicy",
        ("GET", false) if has("notification") => "GetBucketNotificationConfiguration",
        ("GET", false) if has("metrics") => "ListBucketMetricsConfigurations",
        ("GET", false) if has("lifecycle") => "GetBucketLifecycleConfiguration",
        ("GET", false) if has("requestPayment") => "GetBucketRequestPayment",
        ("GET", false) if has("versions") => "ListObjectVersions",
        ("GET", false) if query.get("list-type").is_some_and(|t| t == "2") => "ListObjectsV2",
        ("PUT", false) if has("versioning") => "PutBucketVersioning",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("GET", true) if has("uploadId") => "ListParts",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("PUT", true) if headers.contains_key("x-amz-copy-source") => "CopyObject",
        ("PUT", true) if has("uploadId") => "UploadPart",
        ("PUT", true) => "PutObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        _ => "Unknown",
    }
}

fn decode_body(headers: &HeaderMap, body: &Bytes) -> (Bytes, Vec<(String, String)>, bool) {
    let streaming = header(headers, "x-amz-content-sha256")
        .is_some_and(|value| value.starts_with("STREAMING-"));
    let encoded = header(headers, "content-encoding").is_some_and(|v| v.contains("aws-chunked"));
    if !streaming && !encoded {
        return (body.clone(), Vec::new(), false);
    }
    match chunked::decode(body) {
        Some(decoded) => (decoded.body, decoded.trailer, false),
        None => (Bytes::new(), Vec::new(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str) -> Call {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(Bytes::new())
            .unwrap();
        Call::read(&request)
    }

    #[test]
    fn hosts_and_paths_name_the_subject() {
        let bucket = |bucket: &str, key: Option<&str>| Subject::Bucket {
            bucket: bucket.to_owned(),
            key: key.map(str::to_owned),
        };
        let cases = [
            (
                "GET",
                "https://app.s3.eu-west-1.amazonaws.com/a/b%20c?versionId=1",
                Service::S3,
                "eu-west-1",
                "GetObject",
                bucket("app", Some("a/b c")),
            ),
            (
                "PUT",
                "https://s3.us-west-2.amazonaws.com/my.app/k",
                Service::S3,
                "us-west-2",
                "PutObject",
                bucket("my.app", Some("k")),
            ),
            (
                "GET",
                "http://127.0.0.1:9000/app?list-type=2",
                Service::S3,
                "us-east-1",
                "ListObjectsV2",
                bucket("app", None),
            ),
            (
                "HEAD",
                "https://abc.mrap.accesspoint.s3-global.amazonaws.com/k",
                Service::S3,
                "",
                "HeadObject",
                Subject::Mrap {
                    alias: "abc.mrap".to_owned(),
                    key: Some("k".to_owned()),
                },
            ),
            (
                "PATCH",
                "https://111122223333.s3-control.us-west-2.amazonaws.com/v20180820/mrap/instances/arn%3Aaws%3As3%3A%3A111122223333%3Aaccesspoint/abc.mrap/routes",
                Service::S3Control,
                "us-west-2",
                "SubmitMultiRegionAccessPointRoutes",
                Subject::Routes {
                    arn: "arn:aws:s3::111122223333:accesspoint/abc.mrap".to_owned(),
                },
            ),
            (
                "POST",
                "https://111122223333.s3-control.eu-west-1.amazonaws.com/v20180820/jobs/1-2/status?requestedJobStatus=Ready",
                Service::S3Control,
                "eu-west-1",
                "UpdateJobStatus",
                Subject::Jobs {
                    id: Some("1-2".to_owned()),
                },
            ),
            (
                "GET",
                "https://s3-control.eu-west-1.amazonaws.com/v20180820/jobs",
                Service::S3Control,
                "eu-west-1",
                "ListJobs",
                Subject::Jobs { id: None },
            ),
        ];
        for (method, uri, service, region, operation, subject) in cases {
            let call = call(method, uri);
            assert_eq!(call.service, service, "{uri}");
            assert_eq!(call.region, region, "{uri}");
            assert_eq!(call.operation, operation, "{uri}");
            assert_eq!(call.subject, subject, "{uri}");
        }
    }
}
