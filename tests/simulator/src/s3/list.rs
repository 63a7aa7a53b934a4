//! Listings of objects and of versions. A page costs what it shows, however large the bucket.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::{Bucket, Chain, Request, S3, iso_date, root};
use crate::truth::ObjectVersion;
use crate::wire::Answer;
use crate::wire::query;
use crate::wire::xml::Writer;

const MAX_KEYS: usize = 1000;

/// What every listing is asked for.
struct Page<'a> {
    prefix: &'a str,
    delimiter: &'a str,
    max_keys: usize,
    url_encoding: bool,
}

impl<'a> Page<'a> {
    fn of(request: &'a Request<'_>) -> Self {
        let max_keys = request.query("max-keys").and_then(|n| n.parse().ok());
        Self {
            prefix: request.query("prefix").unwrap_or_default(),
            delimiter: request.query("delimiter").unwrap_or_default(),
            max_keys: max_keys.unwrap_or(MAX_KEYS).min(MAX_KEYS),
            url_encoding: request.query("encoding-type") == Some("url"),
        }
    }

    fn text(&self, key: &str) -> String {
        if self.url_encoding {
            query::encode(key)
        } else {
            key.to_owned()
        }
    }

    /// The common prefix that a key is rolled up into.
    fn common_prefix(&self, key: &str) -> Option<String> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(self.prefix)?;
        let end = rest.find(self.delimiter)? + self.delimiter.len();
        Some(format!("{}{}", self.prefix, &rest[..end]))
    }

    /// Chains after `start`, within the prefix.
    fn chains<'b>(
        &'b self,
        bucket: &'b Bucket,
        start: Bound<&'b str>,
    ) -> impl Iterator<Item = (&'b str, &'b Chain)> {
        let from = match start {
            Bound::Included(key) | Bound::Excluded(key) if key >= self.prefix => start,
            _ => Bound::Included(self.prefix),
        };
        bucket
            .keys
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, chain)| (&**key, chain))
            .take_while(|(key, _)| key.starts_with(self.prefix))
    }

    fn write_common(&self, w: &mut Writer, prefixes: &BTreeSet<String>) {
        if self.url_encoding {
            w.text("EncodingType", "url");
        }
        if !self.delimiter.is_empty() {
            w.text("Delimiter", self.text(self.delimiter));
        }
        for prefix in prefixes {
            w.element("CommonPrefixes", |w| w.text("Prefix", self.text(prefix)));
        }
    }
}

impl S3 {
    pub(super) fn list_objects(&self, request: &Request<'_>) -> Answer {
        let page = Page::of(request);
        let token = request.query("continuation-token");
        let start_after = request.query("start-after");
        let resumed = token.map(query::decode);
        let after = resumed.as_deref().or(start_after).unwrap_or_default();
        let start = if after.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(after)
        };
        let mut found: Vec<(&str, &ObjectVersion)> = Vec::new();
        let mut prefixes = BTreeSet::new();
        let mut last = "";
        let mut truncated = false;
        for (key, chain) in page.chains(&self.buckets[request.bucket], start) {
            let Some(version) = chain.current() else {
                continue;
            };
            let prefix = page.common_prefix(key);
            if prefix.as_ref().is_some_and(|p| prefixes.contains(p)) {
                last = key;
                continue;
            }
            if found.len() + prefixes.len() == page.max_keys {
                truncated = true;
                break;
            }
            match prefix {
                // A page that starts inside a rolled-up prefix must not show it again.
                Some(prefix) if after.starts_with(&prefix) => {}
                Some(prefix) => {
                    prefixes.insert(prefix);
                }
                None => found.push((key, version)),
            }
            last = key;
        }
        let mut xml = Writer::new();
        xml.element(&root("ListBucketResult"), |w| {
            w.text("Name", request.bucket);
            w.text("Prefix", page.text(page.prefix));
            w.text("KeyCount", (found.len() + prefixes.len()).to_string());
            w.text("MaxKeys", page.max_keys.to_string());
            w.text("IsTruncated", truncated.to_string());
            if let Some(token) = token {
                w.text("ContinuationToken", token);
            }
            if let Some(key) = start_after {
                w.text("StartAfter", page.text(key));
            }
            if truncated {
                w.text("NextContinuationToken", query::encode(last));
            }
            for (key, version) in &found {
                w.element("Contents", |w| {
                    w.text("Key", page.text(key));
                    self.write_object(w, version);
                });
            }
            page.write_common(w, &prefixes);
        });
        Answer::new(200).xml(xml.finish())
    }

    pub(super) fn list_versions(&self, request: &Request<'_>) -> Answer {
        let page = Page::of(request);
        let key_marker = request.query("key-marker").unwrap_or_default();
        let version_marker = request
            .query("version-id-marker")
            .filter(|id| !id.is_empty());
        let start = match version_marker {
            _ if key_marker.is_empty() => Bound::Unbounded,
            Some(_) => Bound::Included(key_marker),
            None => Bound::Excluded(key_marker),
        };
        let mut found: Vec<(&str, &ObjectVersion, bool)> = Vec::new();
        let mut prefixes = BTreeSet::new();
        let mut truncated = false;
        'keys: for (key, chain) in page.chains(&self.buckets[request.bucket], start) {
            if let Some(prefix) = page.common_prefix(key) {
                prefixes.insert(prefix);
                continue;
            }
            let newest = chain.versions.len();
            let below = match version_marker {
                Some(id) if key == key_marker => chain.position(id).unwrap_or(0),
                _ => newest,
            };
            for index in (0..below).rev() {
                if found.len() == page.max_keys {
                    truncated = true;
                    break 'keys;
                }
                found.push((key, &chain.versions[index], index + 1 == newest));
            }
        }
        let mut xml = Writer::new();
        xml.element(&root("ListVersionsResult"), |w| {
            w.text("Name", request.bucket);
            w.text("Prefix", page.text(page.prefix));
            w.text("KeyMarker", page.text(key_marker));
            w.text("VersionIdMarker", version_marker.unwrap_or_default());
            w.text("MaxKeys", page.max_keys.to_string());
            w.text("IsTruncated", truncated.to_string());
            if let Some((key, version, _)) = found.last().filter(|_| truncated) {
                w.text("NextKeyMarker", page.text(key));
                w.text("NextVersionIdMarker", &version.version_id);
            }
            for (key, version, latest) in &found {
                let name = if version.delete_marker {
                    "DeleteMarker"
                } else {
                    "Version"
                };
                w.element(name, |w| {
                    w.text("Key", page.text(key));
                    w.text("VersionId", &version.version_id);
                    w.text("IsLatest", latest.to_string());
                    if version.delete_marker {
                        w.text("LastModified", iso_date(self.epoch, version.last_modified));
                    } else {
                        self.write_object(w, version);
                    }
                });
            }
            page.write_common(w, &prefixes);
        });
        Answer::new(200).xml(xml.finish())
    }

    fn write_object(&self, w: &mut Writer, version: &ObjectVersion) {
        w.text("LastModified", iso_date(self.epoch, version.last_modified));
        w.text("ETag", &version.etag);
        w.text("Size", version.body.len().to_string());
        w.text("StorageClass", "STANDARD");
    }
}
