//! Reading, writing and deleting objects, with their conditions.

use std::sync::Arc;

use http::Method;

use super::encryption::with_encryption;
use super::{Chain, Content, Request, S3, etag_of, http_date, malformed_xml, root};
use crate::SimTime;
use crate::call::Call;
use crate::config::Versioning;
use crate::truth::{ObjectVersion, Properties};
use crate::wire::xml::{Element, Writer};
use crate::wire::{Answer, ServiceError};

const CHECKSUMS: [&str; 5] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

impl S3 {
    pub(super) fn get_object(&self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let chain = self.chain(request.bucket, request.key);
        let version = match request.query("versionId") {
            Some(id) => find_version(chain, id)?,
            None => find_current(chain)?,
        };
        check_read(request.call, version)?;
        if request.call.method == Method::GET {
            self.check_key(&version.properties.encryption)?;
        }
        let mut answer = Answer::new(200)
            .header("etag", &*version.etag)
            .header(
                "last-modified",
                http_date(self.epoch, version.last_modified),
            )
            .header("content-type", &version.properties.content_type)
            .header("accept-ranges", "bytes");
        answer = with_encryption(answer, &version.properties.encryption);
        if self.buckets[request.bucket].versioning != Versioning::Unversioned {
            answer = answer.header("x-amz-version-id", &*version.version_id);
        }
        if let Some(state) = version.replication() {
            answer = answer.header("x-amz-replication-status", state.as_str());
        }
        for (name, value) in &version.properties.metadata {
            answer = answer.header(format!("x-amz-meta-{name}"), value);
        }
        let mut body = version.body.clone();
        if let Some((start, end)) = byte_range(request.call, body.len())? {
            answer.status = 206;
            let range = format!("bytes {start}-{end}/{}", body.len());
            answer = answer.header("content-range", range);
            body = body.slice(start..=end);
        } else if let Some((name, value)) = &version.properties.checksum
            && request.call.header("x-amz-checksum-mode").is_some()
        {
            answer = with_checksum(answer, name, value);
        }
        Ok(if request.call.method == Method::HEAD {
            answer.header("content-length", body.len().to_string())
        } else {
            answer.body(body)
        })
    }

    pub(super) fn put_object(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        self.check_put(request)?;
        let properties = self.properties_of(request)?;
        self.check_key(&properties.encryption)?;
        let etag = etag_of(&request.call.body);
        let properties = Arc::new(properties);
        let content = Content {
            etag: Arc::from(etag.as_str()),
            body: request.call.body.clone(),
            properties: Arc::clone(&properties),
        };
        let version_id = self.put_version(request.author, request.bucket, request.key, content);
        let mut answer = Answer::new(200).header("etag", etag);
        answer = with_encryption(answer, &properties.encryption);
        if let Some((name, value)) = &properties.checksum {
            answer = with_checksum(answer, name, value);
        }
        Ok(self.with_version_id(answer, request.bucket, &version_id))
    }

    pub(super) fn with_version_id(&self, answer: Answer, bucket: &str, id: &str) -> Answer {
        if self.buckets[bucket].versioning == Versioning::Unversioned {
            answer
        } else {
            answer.header("x-amz-version-id", id)
        }
    }

    /// The conditions of a write, on the current version.
    pub(super) fn check_put(&self, request: &Request<'_>) -> Result<(), ServiceError> {
        let if_match = request.call.header("if-match");
        let if_none_match = request.call.header("if-none-match");
        if if_match.is_none() && if_none_match.is_none() {
            return Ok(());
        }
        let chain = self.chain(request.bucket, request.key);
        if chain.is_some_and(|c| self.is_recent(c.last_delete, request.author.at)) {
            return Err(conflict());
        }
        let current = chain.and_then(Chain::current);
        match (if_match, if_none_match) {
            (Some(wanted), None) => match current {
                None => Err(no_such_key()),
                Some(version) if same_etag(wanted, &version.etag) => Ok(()),
                Some(_) => Err(precondition_failed("If-Match")),
            },
            (None, Some("*")) => match current {
                None => Ok(()),
                Some(_) => Err(precondition_failed("If-None-Match")),
            },
            _ => Err(ServiceError::new(
                501,
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
            )),
        }
    }

    pub(super) fn delete_object(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let if_match = request.call.header("if-match");
        let version_id = request.query("versionId");
        let deleted = self.delete_one(request, request.key, version_id, if_match)?;
        let mut answer = Answer::new(204);
        if let Some(id) = deleted.version_id {
            answer = answer.header("x-amz-version-id", &*id);
        }
        if deleted.marker {
            answer = answer.header("x-amz-delete-marker", "true");
        }
        Ok(answer)
    }

    pub(super) fn delete_objects(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let body = Element::parse(&request.call.body).ok_or_else(malformed_xml)?;
        let quiet = body.text_of("Quiet") == Some("true");
        let mut xml = Writer::new();
        xml.element(&root("DeleteResult"), |w| {
            for object in body.children.iter().filter(|child| child.name == "Object") {
                let key = object.child("Key").map_or("", |key| key.text.as_str());
                let version_id = object.text_of("VersionId");
                match self.delete_one(request, key, version_id, object.text_of("ETag")) {
                    Ok(_) if quiet => {}
                    Ok(deleted) => {
                        w.element("Deleted", |w| write_deleted(w, key, version_id, &deleted));
                    }
                    Err(error) => w.element("Error", |w| {
                        w.text("Key", key);
                        w.text("Code", &error.code);
                        w.text("Message", &error.message);
                    }),
                }
            }
        });
        Ok(Answer::new(200).xml(xml.finish()))
    }

    fn delete_one(
        &mut self,
        request: &Request<'_>,
        key: &str,
        version_id: Option<&str>,
        if_match: Option<&str>,
    ) -> Result<Deleted, ServiceError> {
        if let Some(wanted) = if_match {
            self.check_delete(request, key, wanted)?;
        }
        let Some(id) = version_id else {
            let marker = self.delete_current(request.author, request.bucket, key);
            return Ok(Deleted {
                marker: marker.is_some(),
                version_id: marker,
            });
        };
        let marker = self.delete_version(request.author, request.bucket, key, id);
        Ok(Deleted {
            version_id: Some(Arc::from(id)),
            marker: marker.unwrap_or(false),
        })
    }

    fn check_delete(
        &self,
        request: &Request<'_>,
        key: &str,
        wanted: &str,
    ) -> Result<(), ServiceError> {
        let chain = self.chain(request.bucket, key);
        let Some(chain) = chain.filter(|chain| !chain.versions.is_empty()) else {
            return Err(no_such_key());
        };
        if self.is_recent(chain.last_put, request.author.at) {
            return Err(conflict());
        }
        match chain.current() {
            Some(version) if wanted == "*" || same_etag(wanted, &version.etag) => Ok(()),
            _ => Err(precondition_failed("If-Match")),
        }
    }

    /// Whether an operation overlapped the one at `now`.
    fn is_recent(&self, earlier: Option<SimTime>, now: SimTime) -> bool {
        let window = std::time::Duration::from_millis(self.conflict_window);
        earlier.is_some_and(|at| now.since(at) < window)
    }
}

#[derive(Debug)]
struct Deleted {
    version_id: Option<Arc<str>>,
    marker: bool,
}

fn write_deleted(w: &mut Writer, key: &str, version_id: Option<&str>, deleted: &Deleted) {
    w.text("Key", key);
    match version_id {
        Some(id) => w.text("VersionId", id),
        None => {
            if let Some(id) = &deleted.version_id {
                w.text("DeleteMarker", "true");
                w.text("DeleteMarkerVersionId", id);
            }
        }
    }
}

fn find_version<'a>(chain: Option<&'a Chain>, id: &str) -> Result<&'a ObjectVersion, ServiceError> {
    let found = chain.and_then(|chain| chain.find(id));
    match found {
        Some(version) if version.delete_marker => Err(ServiceError::new(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
        .header("x-amz-delete-marker", "true")
        .header("x-amz-version-id", &*version.version_id)),
        Some(version) => Ok(version),
        None => Err(ServiceError::new(
            404,
            "NoSuchVersion",
            "The specified version does not exist.",
        )),
    }
}

fn find_current(chain: Option<&Chain>) -> Result<&ObjectVersion, ServiceError> {
    match chain.and_then(Chain::newest) {
        None => Err(no_such_key()),
        Some(version) if version.delete_marker => Err(no_such_key()
            .header("x-amz-delete-marker", "true")
            .header("x-amz-version-id", &*version.version_id)),
        Some(version) => Ok(version),
    }
}

fn check_read(call: &Call, version: &ObjectVersion) -> Result<(), ServiceError> {
    if let Some(wanted) = call.header("if-match")
        && !same_etag(wanted, &version.etag)
    {
        return Err(precondition_failed("If-Match"));
    }
    if let Some(known) = call.header("if-none-match")
        && same_etag(known, &version.etag)
    {
        return Err(
            ServiceError::new(304, "NotModified", "Not Modified").header("etag", &*version.etag)
        );
    }
    Ok(())
}

/// `Range: bytes=a-b`, `a-` or `-n`; any other form is ignored.
fn byte_range(call: &Call, size: usize) -> Result<Option<(usize, usize)>, ServiceError> {
    let Some((start, end)) = call.header("range").and_then(|r| wanted_range(r, size)) else {
        return Ok(None);
    };
    if start >= size {
        return Err(ServiceError::new(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
        ));
    }
    Ok((start <= end).then(|| (start, end.min(size - 1))))
}

fn wanted_range(header: &str, size: usize) -> Option<(usize, usize)> {
    match header.strip_prefix("bytes=")?.split_once('-')? {
        ("", "") => None,
        ("", last) => Some((size.saturating_sub(last.parse().ok()?), usize::MAX)),
        (from, "") => Some((from.parse().ok()?, usize::MAX)),
        (from, to) => Some((from.parse().ok()?, to.parse().ok()?)),
    }
}

impl S3 {
    /// What a new object says about itself in its request's headers.
    pub(super) fn properties_of(&self, request: &Request<'_>) -> Result<Properties, ServiceError> {
        Ok(Properties {
            metadata: metadata_of(request.call),
            content_type: content_type_of(request.call),
            encryption: self.encryption_of(request)?,
            checksum: checksum_of(request.call),
        })
    }
}

fn metadata_of(call: &Call) -> std::collections::BTreeMap<String, String> {
    let headers = call.headers.iter();
    headers
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect()
}

fn content_type_of(call: &Call) -> String {
    call.header("content-type")
        .unwrap_or("binary/octet-stream")
        .to_owned()
}

/// The checksum that the request carries: header name and value.
pub(super) fn checksum_of(call: &Call) -> Option<(String, String)> {
    CHECKSUMS
        .iter()
        .find_map(|name| Some(((*name).to_owned(), call.header(name)?.to_owned())))
}

fn with_checksum(answer: Answer, name: &str, value: &str) -> Answer {
    answer
        .header(name, value)
        .header("x-amz-checksum-type", "FULL_OBJECT")
}

fn same_etag(wanted: &str, actual: &str) -> bool {
    wanted.trim().trim_matches('"') == actual.trim_matches('"')
}

fn no_such_key() -> ServiceError {
    ServiceError::new(404, "NoSuchKey", "The specified key does not exist.")
}

fn precondition_failed(condition: &str) -> ServiceError {
    let message =
        format!("At least one of the pre-conditions you specified did not hold ({condition})");
    ServiceError::new(412, "PreconditionFailed", message)
}

fn conflict() -> ServiceError {
    ServiceError::new(
        409,
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    )
}
