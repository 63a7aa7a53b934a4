//! Multipart uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use super::encryption::with_encryption;
use super::objects::checksum_of;
use super::{Content, Request, S3, etag_of, iso_date, malformed_xml, root};
use crate::SimTime;
use crate::log::hex;
use crate::truth::Properties;
use crate::wire::query;
use crate::wire::xml::{Element, Writer};
use crate::wire::{Answer, ServiceError};

/// S3's smallest part but the last.
const MIN_PART: usize = 5 * 1024 * 1024;

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    key: String,
    properties: Properties,
    initiated: SimTime,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug, Clone)]
struct Part {
    etag: String,
    body: Bytes,
    uploaded: SimTime,
}

impl S3 {
    pub(super) fn create_upload(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let properties = self.properties_of(request)?;
        self.check_key(&properties.encryption)?;
        let answer = with_encryption(Answer::new(200), &properties.encryption);
        let id = self.new_id("upload");
        let upload = Upload {
            key: request.key.to_owned(),
            properties,
            initiated: request.author.at,
            parts: BTreeMap::new(),
        };
        let bucket = self
            .buckets
            .get_mut(request.bucket)
            .expect("checked by the caller");
        bucket.uploads.insert(id.clone(), upload);
        let mut xml = Writer::new();
        xml.element(&root("InitiateMultipartUploadResult"), |w| {
            w.text("Bucket", request.bucket);
            w.text("Key", request.key);
            w.text("UploadId", &id);
        });
        Ok(answer.xml(xml.finish()))
    }

    pub(super) fn upload_part(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let number = request
            .query("partNumber")
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=10_000).contains(number))
            .ok_or_else(|| {
                let message = "Part number must be an integer between 1 and 10000, inclusive";
                ServiceError::new(400, "InvalidArgument", message)
            })?;
        let part = Part {
            etag: etag_of(&request.call.body),
            body: request.call.body.clone(),
            uploaded: request.author.at,
        };
        let etag = part.etag.clone();
        let upload = self.upload_mut(request)?;
        upload.parts.insert(number, part);
        let answer = Answer::new(200).header("etag", etag);
        let answer = with_encryption(answer, &upload.properties.encryption);
        Ok(match checksum_of(request.call) {
            Some((name, value)) => answer.header(name, value),
            None => answer,
        })
    }

    pub(super) fn complete_upload(
        &mut self,
        request: &Request<'_>,
    ) -> Result<Answer, ServiceError> {
        let listed = Element::parse(&request.call.body).ok_or_else(malformed_xml)?;
        let parts = chosen_parts(self.upload_mut(request)?, &listed)?;
        self.check_put(request)?;
        let id = request.query("uploadId").unwrap_or_default();
        let bucket = self
            .buckets
            .get_mut(request.bucket)
            .expect("checked by the caller");
        let upload = bucket.uploads.remove(id).expect("found above");
        let size = parts.iter().map(|part| part.body.len()).sum();
        let mut body = BytesMut::with_capacity(size);
        let mut digests = Md5::new();
        for part in &parts {
            body.extend_from_slice(&part.body);
            digests.update(Md5::digest(&part.body));
        }
        let etag = format!("\"{}-{}\"", hex(&digests.finalize()), parts.len());
        let content = Content {
            body: body.freeze(),
            etag: Arc::from(etag.as_str()),
            properties: Arc::new(Properties {
                checksum: None,
                ..upload.properties
            }),
        };
        let encryption = content.properties.encryption.clone();
        let version_id = self.put_version(request.author, request.bucket, request.key, content);
        let mut xml = Writer::new();
        xml.element(&root("CompleteMultipartUploadResult"), |w| {
            w.text("Location", format!("/{}/{}", request.bucket, request.key));
            w.text("Bucket", request.bucket);
            w.text("Key", request.key);
            w.text("ETag", &etag);
        });
        let answer = with_encryption(Answer::new(200), &encryption).xml(xml.finish());
        Ok(self.with_version_id(answer, request.bucket, &version_id))
    }

    pub(super) fn abort_upload(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        self.upload_mut(request)?;
        let id = request.query("uploadId").unwrap_or_default();
        if let Some(bucket) = self.buckets.get_mut(request.bucket) {
            bucket.uploads.remove(id);
        }
        Ok(Answer::new(204))
    }

    /// Uploads in progress, by key and then in order of their start.
    pub(super) fn list_uploads(&self, request: &Request<'_>) -> Answer {
        let limit = limit_of(request, "max-uploads");
        let prefix = request.query("prefix").unwrap_or_default();
        let key_marker = request.query("key-marker").unwrap_or_default();
        let id_marker = request.query("upload-id-marker").unwrap_or_default();
        let mut uploads: Vec<(&str, SimTime, &str)> = self.buckets[request.bucket]
            .uploads
            .iter()
            .map(|(id, upload)| (upload.key.as_str(), upload.initiated, id.as_str()))
            .filter(|(key, _, _)| key.starts_with(prefix))
            .collect();
        uploads.sort_unstable();
        let after = uploads
            .iter()
            .position(|(key, _, id)| (*key == key_marker && *id == id_marker) || *key > key_marker);
        let mut rest = match after {
            _ if key_marker.is_empty() => uploads,
            Some(place) => uploads.split_off(place),
            None => Vec::new(),
        };
        rest.retain(|(key, _, id)| {
            *key != key_marker || (!id_marker.is_empty() && *id != id_marker)
        });
        let truncated = rest.len() > limit;
        rest.truncate(limit);
        let url = request.query("encoding-type") == Some("url");
        let text = |key: &str| {
            if url {
                query::encode(key)
            } else {
                key.to_owned()
            }
        };
        let mut xml = Writer::new();
        xml.element(&root("ListMultipartUploadsResult"), |w| {
            w.text("Bucket", request.bucket);
            w.text("KeyMarker", text(key_marker));
            w.text("UploadIdMarker", id_marker);
            if let Some((key, _, id)) = rest.last().filter(|_| truncated) {
                w.text("NextKeyMarker", text(key));
                w.text("NextUploadIdMarker", id);
            }
            w.text("Prefix", text(prefix));
            if url {
                w.text("EncodingType", "url");
            }
            w.text("MaxUploads", limit.to_string());
            w.text("IsTruncated", truncated.to_string());
            for (key, initiated, id) in &rest {
                w.element("Upload", |w| {
                    w.text("Key", text(key));
                    w.text("UploadId", id);
                    w.text("StorageClass", "STANDARD");
                    w.text("Initiated", iso_date(self.epoch, *initiated));
                });
            }
        });
        Answer::new(200).xml(xml.finish())
    }

    /// The parts of an upload so far.
    pub(super) fn list_parts(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        let epoch = self.epoch;
        let limit = limit_of(request, "max-parts");
        let marker = request.query("part-number-marker");
        let marker: u32 = marker.and_then(|n| n.parse().ok()).unwrap_or(0);
        let id = request.query("uploadId").unwrap_or_default();
        let upload = self.upload_mut(request)?;
        let mut rest = upload.parts.range(marker + 1..);
        let shown: Vec<(&u32, &Part)> = rest.by_ref().take(limit).collect();
        let truncated = rest.next().is_some();
        let mut xml = Writer::new();
        xml.element(&root("ListPartsResult"), |w| {
            w.text("Bucket", request.bucket);
            w.text("Key", request.key);
            w.text("UploadId", id);
            w.text("PartNumberMarker", marker.to_string());
            if let Some((number, _)) = shown.last().filter(|_| truncated) {
                w.text("NextPartNumberMarker", number.to_string());
            }
            w.text("MaxParts", limit.to_string());
            w.text("IsTruncated", truncated.to_string());
            w.text("StorageClass", "STANDARD");
            for (number, part) in shown {
                w.element("Part", |w| {
                    w.text("PartNumber", number.to_string());
                    w.text("LastModified", iso_date(epoch, part.uploaded));
                    w.text("ETag", &part.etag);
                    w.text("Size", part.body.len().to_string());
                });
            }
        });
        Ok(Answer::new(200).xml(xml.finish()))
    }

    fn upload_mut(&mut self, request: &Request<'_>) -> Result<&mut Upload, ServiceError> {
        let id = request.query("uploadId").unwrap_or_default();
        self.buckets
            .get_mut(request.bucket)
            .and_then(|bucket| bucket.uploads.get_mut(id))
            .filter(|upload| upload.key == request.key)
            .ok_or_else(|| {
                ServiceError::new(
                    404,
                    "NoSuchUpload",
                    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
                )
            })
    }
}

/// How many items a page may have.
fn limit_of(request: &Request<'_>, parameter: &str) -> usize {
    let wanted = request.query(parameter).and_then(|text| text.parse().ok());
    wanted.unwrap_or(1000).min(1000)
}

fn chosen_parts(upload: &Upload, listed: &Element) -> Result<Vec<Part>, ServiceError> {
    let mut parts = Vec::new();
    let mut last = 0;
    for item in listed.children.iter().filter(|child| child.name == "Part") {
        let number: u32 = item
            .text_of("PartNumber")
            .and_then(|text| text.parse().ok())
            .ok_or_else(malformed_xml)?;
        if number <= last {
            let message = "The list of parts was not in ascending order.";
            return Err(ServiceError::new(400, "InvalidPartOrder", message));
        }
        last = number;
        let etag = item.text_of("ETag").unwrap_or_default().trim_matches('"');
        let part = upload
            .parts
            .get(&number)
            .filter(|part| part.etag.trim_matches('"') == etag);
        parts.push(part.cloned().ok_or_else(|| {
            let message = "One or more of the specified parts could not be found.";
            ServiceError::new(400, "InvalidPart", message)
        })?);
    }
    let Some((_, all_but_last)) = parts.split_last() else {
        return Err(malformed_xml());
    };
    if all_but_last.iter().any(|part| part.body.len() < MIN_PART) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(ServiceError::new(400, "EntityTooSmall", message));
    }
    Ok(parts)
}
