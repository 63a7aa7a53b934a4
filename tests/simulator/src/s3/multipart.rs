//! Multipart uploads.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use super::objects::{checksum_of, content_type_of, metadata_of};
use super::{Content, Request, S3, etag_of, malformed_xml, root};
use crate::log::hex;
use crate::wire::xml::{Element, Writer};
use crate::wire::{Answer, ServiceError};

/// S3's smallest part but the last.
const MIN_PART: usize = 5 * 1024 * 1024;

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    key: String,
    content_type: String,
    metadata: BTreeMap<String, String>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug, Clone)]
struct Part {
    etag: String,
    body: Bytes,
}

impl S3 {
    pub(super) fn create_upload(&mut self, request: &Request<'_>) -> Answer {
        let id = self.new_id("upload");
        let upload = Upload {
            key: request.key.to_owned(),
            content_type: content_type_of(request.call),
            metadata: metadata_of(request.call),
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
        Answer::new(200).xml(xml.finish())
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
        };
        let etag = part.etag.clone();
        self.upload_mut(request)?.parts.insert(number, part);
        let answer = Answer::new(200).header("etag", etag);
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
        let mut body = BytesMut::new();
        let mut digests = Md5::new();
        for part in &parts {
            body.extend_from_slice(&part.body);
            digests.update(Md5::digest(&part.body));
        }
        let etag = format!("\"{}-{}\"", hex(&digests.finalize()), parts.len());
        let content = Content {
            body: body.freeze(),
            etag: etag.clone(),
            media_type: upload.content_type,
            metadata: upload.metadata,
            checksum: None,
        };
        let version_id = self.put_version(request.author, request.bucket, request.key, content);
        let mut xml = Writer::new();
        xml.element(&root("CompleteMultipartUploadResult"), |w| {
            w.text("Location", format!("/{}/{}", request.bucket, request.key));
            w.text("Bucket", request.bucket);
            w.text("Key", request.key);
            w.text("ETag", &etag);
        });
        let answer = Answer::new(200).xml(xml.finish());
        Ok(self.with_version_id(answer, request.bucket, version_id))
    }

    pub(super) fn abort_upload(&mut self, request: &Request<'_>) -> Result<Answer, ServiceError> {
        self.upload_mut(request)?;
        let id = request.query("uploadId").unwrap_or_default();
        if let Some(bucket) = self.buckets.get_mut(request.bucket) {
            bucket.uploads.remove(id);
        }
        Ok(Answer::new(204))
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
