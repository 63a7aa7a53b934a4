//! S3 of every Region: buckets, versions, conditional writes, listings, multipart uploads.

mod configuration;
mod encryption;
mod list;
mod multipart;
mod objects;
mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use md5::{Digest, Md5};

use crate::SimTime;
use crate::call::Call;
use crate::config::{BucketSettings, Encryption, ReplicationRule, Versioning};
use crate::log::{hex, sha256_hex};
use crate::time::calendar;
use crate::truth::{ObjectVersion, Properties, Transfer, Transfers, Write, WriteKind};
use crate::wire::xml::{Element, Writer};
use crate::wire::{Answer, ServiceError};

use encryption::Keys;
use multipart::Upload;

pub(crate) use encryption::KeyState;
pub(crate) use replicas::{Cause, Eligibility, Lane, Outgoing};

const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// All buckets, and everything ever written to them.
#[derive(Debug)]
pub(crate) struct S3 {
    seed: u64,
    epoch: Timestamp,
    /// A conditional write within this many milliseconds of a conflicting one is a 409.
    conflict_window: u64,
    buckets: BTreeMap<String, Bucket>,
    writes: Vec<Write>,
    writes_by_request: BTreeMap<u64, Vec<usize>>,
    ids: u64,
    /// Versions that must be replicated, for the world to schedule.
    outgoing: Vec<Outgoing>,
    /// KMS keys that are not as they should be.
    kms: Keys,
    /// What was put last without a request. A harness puts the same content a million times.
    plain: Option<Plain>,
}

/// Content whose description may be shared.
#[derive(Debug)]
struct Plain {
    body: bytes::Bytes,
    etag: Arc<str>,
    properties: Arc<Properties>,
}

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) region: String,
    pub(crate) versioning: Versioning,
    encryption: Encryption,
    /// What decides nothing in this world but what readers of configuration are told, and whether
    /// replication events are sent.
    pub(crate) settings: BucketSettings,
    rules: Vec<Rule>,
    keys: BTreeMap<Arc<str>, Chain>,
    uploads: BTreeMap<String, Upload>,
    /// Versions that were deleted for good: Batch Replication does not bring them back.
    hard_deleted: BTreeSet<(Arc<str>, Arc<str>)>,
}

/// A replication rule of a bucket.
#[derive(Debug)]
struct Rule {
    config: ReplicationRule,
    lane: Arc<Lane>,
}

impl Bucket {
    pub(crate) fn rules(&self) -> impl Iterator<Item = &ReplicationRule> {
        self.rules.iter().map(|rule| &rule.config)
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&ReplicationRule> {
        self.rules().find(|rule| rule.id == id)
    }

    /// Versions, delete markers included, and their bytes.
    pub(crate) fn holdings(&self) -> (u64, u64) {
        let versions = self.keys.values().flat_map(|chain| &chain.versions);
        versions.fold((0, 0), |(count, bytes), version| {
            (count + 1, bytes + version.body.len() as u64)
        })
    }

    /// Takes a rule away; whether there was one.
    pub(crate) fn remove_rule(&mut self, id: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.config.id != id);
        self.rules.len() < before
    }

    /// Adds a rule, or replaces the one with the same id. `number` is for a new lane.
    pub(crate) fn set_rule(&mut self, config: ReplicationRule, number: u32) {
        let same = |old: &Rule| old.config.id == config.id;
        let place = self.rules.iter().position(same);
        let old = place.map(|place| self.rules.remove(place).lane);
        let lane = old
            .filter(|lane| *lane.destination == *config.destination)
            .unwrap_or_else(|| Arc::new(Lane::of(&config, number)));
        self.rules.push(Rule { config, lane });
        self.rules
            .sort_by_key(|rule| std::cmp::Reverse(rule.config.priority));
    }
}

/// Everything under one key, oldest version first.
#[derive(Debug, Default)]
struct Chain {
    versions: Vec<ObjectVersion>,
    last_put: Option<SimTime>,
    last_delete: Option<SimTime>,
}

impl Chain {
    /// The newest version, delete marker or not.
    fn newest(&self) -> Option<&ObjectVersion> {
        self.versions.last()
    }

    /// The version that a plain GET returns.
    fn current(&self) -> Option<&ObjectVersion> {
        self.newest().filter(|version| !version.delete_marker)
    }

    fn position(&self, version_id: &str) -> Option<usize> {
        self.versions
            .iter()
            .rposition(|version| &*version.version_id == version_id)
    }

    fn find(&self, version_id: &str) -> Option<&ObjectVersion> {
        self.versions.get(self.position(version_id)?)
    }

    fn insert(&mut self, version: ObjectVersion) {
        let order = |v: &ObjectVersion| (v.last_modified, v.ordinal);
        let later = self
            .versions
            .iter()
            .rev()
            .take_while(|v| order(v) > order(&version))
            .count();
        // Most keys have one version: room for four would be most of the world's memory.
        if self.versions.is_empty() {
            self.versions.reserve_exact(1);
        }
        self.versions.insert(self.versions.len() - later, version);
    }
}

/// Who writes, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) at: SimTime,
    pub(crate) client: &'a str,
    /// Log position; `None` for the harness.
    pub(crate) seq: Option<u64>,
    pub(crate) through_mrap: bool,
}

/// What is written.
#[derive(Debug, Default)]
struct Content {
    body: bytes::Bytes,
    etag: Arc<str>,
    properties: Arc<Properties>,
}

/// A call on a bucket.
struct Request<'a> {
    call: &'a Call,
    author: Author<'a>,
    bucket: &'a str,
    key: &'a str,
}

impl Request<'_> {
    fn query(&self, name: &str) -> Option<&str> {
        self.call.query.get(name).map(String::as_str)
    }
}

impl S3 {
    pub(crate) fn new(seed: u64, epoch: Timestamp, conflict_window: u64) -> Self {
        Self {
            seed,
            epoch,
            conflict_window,
            buckets: BTreeMap::new(),
            writes: Vec::new(),
            writes_by_request: BTreeMap::new(),
            ids: 0,
            outgoing: Vec::new(),
            kms: Keys::default(),
            plain: None,
        }
    }

    pub(crate) fn create_bucket(
        &mut self,
        name: &str,
        region: &str,
        versioning: Versioning,
        encryption: Encryption,
    ) {
        let bucket = Bucket {
            region: region.to_owned(),
            versioning,
            encryption,
            settings: BucketSettings::default(),
            rules: Vec::new(),
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
            hard_deleted: BTreeSet::new(),
        };
        let twin = self.buckets.insert(name.to_owned(), bucket);
        assert!(twin.is_none(), "bucket {name} is configured twice");
    }

    pub(crate) fn bucket(&self, name: &str) -> Option<&Bucket> {
        self.buckets.get(name)
    }

    pub(crate) fn bucket_mut(&mut self, name: &str) -> Option<&mut Bucket> {
        self.buckets.get_mut(name)
    }

    /// Deletes a bucket with everything in it.
    pub(crate) fn delete_bucket(&mut self, name: &str) {
        self.buckets.remove(name);
    }

    pub(crate) fn buckets(&self) -> impl Iterator<Item = (&str, &Bucket)> {
        self.buckets
            .iter()
            .map(|(name, bucket)| (name.as_str(), bucket))
    }

    pub(crate) fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub(crate) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }

    /// Marks the writes of a request as known to its client.
    pub(crate) fn acknowledge(&mut self, seq: u64, at: SimTime) {
        for index in self.writes_by_request.get(&seq).into_iter().flatten() {
            self.writes[*index].acknowledged_at = Some(at);
        }
    }

    /// Serves a call that reached the right Region.
    pub(crate) fn handle(
        &mut self,
        call: &Call,
        author: Author<'_>,
        bucket: &str,
        key: Option<&str>,
    ) -> Result<Answer, ServiceError> {
        if !self.buckets.contains_key(bucket) {
            return Err(ServiceError::new(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist",
            ));
        }
        check_body(call)?;
        let key = key.unwrap_or_default();
        if key.len() > 1024 {
            return Err(ServiceError::new(
                400,
                "KeyTooLongError",
                "Your key is too long",
            ));
        }
        let request = Request {
            call,
            author,
            bucket,
            key,
        };
        match call.operation.as_str() {
            "GetObject" | "HeadObject" => self.get_object(&request),
            "PutObject" => self.put_object(&request),
            "DeleteObject" => self.delete_object(&request),
            "DeleteObjects" => self.delete_objects(&request),
            "ListObjectsV2" => Ok(self.list_objects(&request)),
            "ListObjectVersions" => Ok(self.list_versions(&request)),
            "CreateMultipartUpload" => self.create_upload(&request),
            "ListMultipartUploads" => Ok(self.list_uploads(&request)),
            "ListParts" => self.list_parts(&request),
            "UploadPart" => self.upload_part(&request),
            "CompleteMultipartUpload" => self.complete_upload(&request),
            "AbortMultipartUpload" => self.abort_upload(&request),
            "HeadBucket" => {
                let region = self.buckets[bucket].region.clone();
                Ok(Answer::new(200).header("x-amz-bucket-region", region))
            }
            "GetBucketLocation" => Ok(self.bucket_location(bucket)),
            "GetBucketVersioning" => Ok(self.bucket_versioning(bucket)),
            "PutBucketVersioning" => self.put_bucket_versioning(&request),
            other => self
                .configuration(other, bucket)
                .unwrap_or(Err(ServiceError::new(
                    501,
                    "NotImplemented",
                    "A header or query you provided implies functionality that is not implemented.",
                ))),
        }
    }

    fn bucket_location(&self, bucket: &str) -> Answer {
        let region = self.buckets[bucket].region.as_str();
        let constraint = if region == "us-east-1" { "" } else { region };
        let mut xml = Writer::new();
        xml.text(&root("LocationConstraint"), constraint);
        Answer::new(200).xml(xml.finish())
    }

    fn bucket_versioning(&self, bucket: &str) -> Answer {
        let mut xml = Writer::new();
        xml.element(&root("VersioningConfiguration"), |w| {
            match self.buckets[bucket].versioning {
                Versioning::Enabled => w.text("Status", "Enabled"),
                Versioning::Suspended => w.text("Status", "Suspended"),
                Versioning::Unversioned => {}
            }
        });
        Answer::new(200).xml(xml.finish())
    }

    fn put_bucket_versioning(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let body = Element::parse(&request.call.body).ok_or_else(malformed_xml)?;
        let versioning = match body.text_of("Status") {
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            _ => return Err(malformed_xml()),
        };
        self.set_versioning(request.bucket, versioning);
        Ok(Answer::new(200))
    }

    pub(crate) fn set_encryption(&mut self, bucket: &str, encryption: Encryption) {
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.encryption = encryption;
        }
    }

    pub(crate) fn set_versioning(&mut self, bucket: &str, versioning: Versioning) {
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            bucket.versioning = versioning;
        }
    }

    /// The current version of an object.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<&ObjectVersion> {
        self.chain(bucket, key)?.current()
    }

    /// All versions, newest first.
    pub(crate) fn versions(&self, bucket: &str, key: &str) -> Vec<&ObjectVersion> {
        self.chain(bucket, key)
            .map(|chain| chain.versions.iter().rev().collect())
            .unwrap_or_default()
    }

    pub(crate) fn keys(&self, bucket: &str) -> Vec<&str> {
        let Some(bucket) = self.buckets.get(bucket) else {
            return Vec::new();
        };
        let chains = bucket.keys.iter();
        chains
            .filter(|(_, chain)| !chain.versions.is_empty())
            .map(|(key, _)| &**key)
            .collect()
    }

    /// Removes every version under a prefix.
    pub(crate) fn purge(&mut self, bucket: &str, prefix: &str) {
        let Some(bucket) = self.buckets.get_mut(bucket) else {
            return;
        };
        let deleted = &mut bucket.hard_deleted;
        bucket.keys.retain(|key, chain| {
            let stays = !key.starts_with(prefix);
            if !stays {
                let ids = chain.versions.iter().map(|v| Arc::clone(&v.version_id));
                deleted.extend(ids.map(|id| (Arc::clone(key), id)));
            }
            stays
        });
    }

    fn chain(&self, bucket: &str, key: &str) -> Option<&Chain> {
        self.buckets.get(bucket)?.keys.get(key)
    }

    /// Writes a version, plans its replication, and records the write.
    fn put_version(
        &mut self,
        author: Author<'_>,
        bucket: &str,
        key: &str,
        content: Content,
    ) -> Arc<str> {
        let version_id = self.version_id_for(bucket);
        let etag = content.etag.to_string();
        let version = ObjectVersion {
            version_id: Arc::clone(&version_id),
            etag: content.etag,
            body: content.body,
            properties: content.properties,
            last_modified: author.at,
            visible_since: author.at,
            delete_marker: false,
            is_replica: false,
            transfers: Transfers::default(),
            ordinal: self.next_ordinal(),
        };
        let chain = self.insert(bucket, key, version);
        chain.last_put = Some(author.at);
        self.record(author, bucket, key, &version_id, etag, WriteKind::Put);
        version_id
    }

    /// Adds a new version under its key and plans its replication.
    fn insert(&mut self, bucket: &str, key: &str, mut version: ObjectVersion) -> &mut Chain {
        let state = self.buckets.get_mut(bucket).expect("checked by the caller");
        let key = match state.keys.get_key_value(key) {
            Some((key, _)) => Arc::clone(key),
            None => Arc::from(key),
        };
        let first = self.outgoing.len();
        for lane in state.lanes(&key, &version) {
            let live = Outgoing::new(lane, &key, &version, Cause::Live);
            self.outgoing.push(live);
        }
        for live in &self.outgoing[first..] {
            let destination = &live.lane.destination;
            version.transfers.set(destination, Transfer::Pending);
        }
        let chain = state.keys.entry(key).or_default();
        chain.remove_null(&version.version_id);
        chain.insert(version);
        chain
    }

    fn next_ordinal(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Writes a plain object as the harness or a service does; the bucket must exist.
    pub(crate) fn put_plain(
        &mut self,
        author: Author<'_>,
        bucket: &str,
        key: &str,
        body: bytes::Bytes,
        encryption: Option<Encryption>,
    ) -> Arc<str> {
        let encryption = encryption.unwrap_or_else(|| self.buckets[bucket].encryption.clone());
        let same = self.plain.take().filter(|plain| {
            plain.body.as_ptr() == body.as_ptr()
                && plain.body.len() == body.len()
                && plain.properties.encryption == encryption
        });
        let plain = same.unwrap_or_else(|| Plain {
            etag: etag_of(&body).into(),
            body: body.clone(),
            properties: Arc::new(Properties {
                content_type: "application/octet-stream".to_owned(),
                encryption,
                ..Properties::default()
            }),
        });
        let content = Content {
            body,
            etag: Arc::clone(&plain.etag),
            properties: Arc::clone(&plain.properties),
        };
        self.plain = Some(plain);
        self.put_version(author, bucket, key, content)
    }

    /// Writes a delete marker, or removes the object where there are no versions. Returns the
    /// marker's version id.
    pub(crate) fn delete_current(
        &mut self,
        author: Author<'_>,
        bucket: &str,
        key: &str,
    ) -> Option<Arc<str>> {
        let versioning = self.buckets.get(bucket)?.versioning;
        let version_id = self.version_id_for(bucket);
        if versioning == Versioning::Unversioned {
            let chain = self.buckets.get_mut(bucket)?.keys.entry(Arc::from(key));
            let chain = chain.or_default();
            chain.last_delete = Some(author.at);
            chain.remove_null(&version_id);
            self.record(
                author,
                bucket,
                key,
                "null",
                String::new(),
                WriteKind::DeleteVersion,
            );
            return None;
        }
        let marker = ObjectVersion {
            version_id: Arc::clone(&version_id),
            etag: Arc::from(""),
            body: bytes::Bytes::new(),
            properties: Arc::default(),
            last_modified: author.at,
            visible_since: author.at,
            delete_marker: true,
            is_replica: false,
            transfers: Transfers::default(),
            ordinal: self.next_ordinal(),
        };
        let chain = self.insert(bucket, key, marker);
        chain.last_delete = Some(author.at);
        let kind = WriteKind::DeleteMarker;
        self.record(author, bucket, key, &version_id, String::new(), kind);
        Some(version_id)
    }

    /// Removes a version for good; returns whether it was a delete marker.
    pub(crate) fn delete_version(
        &mut self,
        author: Author<'_>,
        bucket: &str,
        key: &str,
        version_id: &str,
    ) -> Option<bool> {
        let bucket_state = self.buckets.get_mut(bucket)?;
        let name = Arc::clone(bucket_state.keys.get_key_value(key)?.0);
        let chain = bucket_state.keys.get_mut(key)?;
        let position = chain.position(version_id)?;
        let removed = chain.versions.remove(position);
        chain.last_delete = Some(author.at);
        let id = Arc::clone(&removed.version_id);
        bucket_state.hard_deleted.insert((name, id));
        let kind = WriteKind::DeleteVersion;
        self.record(author, bucket, key, version_id, String::new(), kind);
        Some(removed.delete_marker)
    }

    fn record(
        &mut self,
        author: Author<'_>,
        bucket: &str,
        key: &str,
        version_id: &str,
        etag: String,
        kind: WriteKind,
    ) {
        let Some(seq) = author.seq else { return };
        let index = self.writes.len();
        self.writes_by_request.entry(seq).or_default().push(index);
        self.writes.push(Write {
            at: author.at,
            acknowledged_at: None,
            client: author.client.to_owned(),
            seq,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version_id: version_id.to_owned(),
            etag,
            kind,
            through_mrap: author.through_mrap,
        });
    }

    fn version_id_for(&mut self, bucket: &str) -> Arc<str> {
        match self.buckets[bucket].versioning {
            Versioning::Enabled => self.new_id("version").into(),
            Versioning::Suspended | Versioning::Unversioned => Arc::from("null"),
        }
    }

    /// A fresh id of 32 characters, the same in every run of a seed.
    fn new_id(&mut self, kind: &str) -> String {
        self.ids += 1;
        let text = format!("{kind}-{}-{}", self.seed, self.ids);
        sha256_hex(text.as_bytes())[..32].to_owned()
    }
}

impl Chain {
    /// The `null` version is replaced, never stacked.
    fn remove_null(&mut self, version_id: &str) {
        if version_id == "null"
            && let Some(position) = self.position("null")
        {
            self.versions.remove(position);
        }
    }
}

/// The `ETag` of a single-part object: MD5 in quotes.
fn etag_of(body: &[u8]) -> String {
    format!("\"{}\"", hex(&Md5::digest(body)))
}

fn root(name: &str) -> String {
    format!("{name} xmlns=\"{XMLNS}\"")
}

fn malformed_xml() -> ServiceError {
    ServiceError::new(
        400,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// Checks what the request says about its own body.
fn check_body(call: &Call) -> Result<(), ServiceError> {
    if call.bad_encoding {
        let message = "You did not provide the number of bytes specified by the encoding";
        return Err(ServiceError::new(400, "IncompleteBody", message));
    }
    let declared = call.header("x-amz-content-sha256").unwrap_or_default();
    let is_hash = declared.len() == 64 && declared.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash && declared != sha256_hex(&call.body) {
        return Err(ServiceError::new(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ));
    }
    Ok(())
}

/// `Last-Modified` of a header.
fn http_date(epoch: Timestamp, at: SimTime) -> String {
    calendar(epoch, at)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// `LastModified` of a listing.
fn iso_date(epoch: Timestamp, at: SimTime) -> String {
    calendar(epoch, at)
        .strftime("%Y-%m-%dT%H:%M:%S.000Z")
        .to_string()
}

/// An S3 error document.
pub(crate) fn render_error(error: &ServiceError, call: &Call, request_id: &str) -> Answer {
    let mut answer = Answer::new(error.status);
    answer.headers.clone_from(&error.headers);
    answer.error = Some(error.code.clone());
    if call.method == http::Method::HEAD || error.status == 304 {
        return answer;
    }
    let mut xml = Writer::new();
    xml.element("Error", |w| {
        w.text("Code", &error.code);
        w.text("Message", &error.message);
        w.text("Resource", &call.path);
        w.text("RequestId", request_id);
    });
    answer.xml(xml.finish())
}
