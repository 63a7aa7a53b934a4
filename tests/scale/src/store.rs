//! As much of S3 as the functions use, over files: objects, ranges, lists, conditional writes,
//! multipart uploads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Buckets of files.
pub(crate) struct Store {
    folder: TempDir,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<u32, Object>>,
    counts: Counts,
    next: u64,
}

#[derive(Clone)]
struct Object {
    file: PathBuf,
    size: u64,
    etag: String,
}

/// What was asked of the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// PUT, POST and LIST requests, as they are charged.
    pub(crate) puts: u64,
    /// GET and HEAD requests.
    pub(crate) gets: u64,
    /// DELETE requests, deletions of many among them.
    pub(crate) deletes: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

type Answer = Response<Full<Bytes>>;

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::with_prefix("mrap-sentinel-scale-").expect("a folder"),
            inner: Mutex::default(),
        }
    }

    pub(crate) fn reset_counts(&self) {
        self.inner.lock().unwrap().counts = Counts::default();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.inner.lock().unwrap().counts
    }

    /// The only object of a bucket.
    pub(crate) fn only_object(&self, bucket: &str) -> File {
        let inner = self.inner.lock().unwrap();
        let prefix = format!("{bucket}/");
        let mut found = inner
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix));
        let (_, object) = found.next().expect("an object");
        assert!(found.next().is_none(), "more than one object in {bucket}");
        File::open(&object.file).unwrap()
    }

    fn write(&self, body: &[&[u8]]) -> Object {
        let number = {
            let mut inner = self.inner.lock().unwrap();
            inner.next += 1;
            inner.next
        };
        let path = self.folder.path().join(number.to_string());
        let mut file = File::create(&path).unwrap();
        let mut size = 0;
        for piece in body {
            file.write_all(piece).unwrap();
            size += piece.len() as u64;
        }
        Object {
            file: path,
            size,
            etag: format!("\"{number:032x}\""),
        }
    }

    fn answer(&self, request: &Request<Bytes>) -> Answer {
        let query = Query::of(request.uri().query().unwrap_or_default());
        let path = decoded(request.uri().path().trim_start_matches('/'));
        let body = request.body();
        {
            let counts = &mut self.inner.lock().unwrap().counts;
            counts.bytes_in += body.len() as u64;
            match *request.method() {
                Method::GET if query.has("list-type") => counts.puts += 1,
                Method::GET | Method::HEAD => counts.gets += 1,
                Method::DELETE => counts.deletes += 1,
                Method::POST if query.has("delete") => counts.deletes += 1,
                _ => counts.puts += 1,
            }
        }
        let bucket = path.split('/').next().unwrap_or_default();
        match *request.method() {
            Method::GET if query.has("list-type") => self.list(bucket, &query),
            Method::GET => self.get(&path, request, true),
            Method::HEAD => self.get(&path, request, false),
            Method::PUT => match query.get("uploadId") {
                Some(upload) => self.part(upload, &query, body),
                None => self.put(&path, request),
            },
            Method::POST if query.has("delete") => self.delete_many(bucket, body),
            Method::POST if query.has("uploads") => self.begin(&path),
            Method::POST => self.complete(&path, query.get("uploadId").unwrap_or_default()),
            Method::DELETE => {
                self.delete(&path);
                empty(204)
            }
            _ => error(405, "MethodNotAllowed"),
        }
    }

    fn put(&self, path: &str, request: &Request<Bytes>) -> Answer {
        let is_new_only = request.headers().contains_key("if-none-match");
        if is_new_only && self.inner.lock().unwrap().objects.contains_key(path) {
            return error(412, "PreconditionFailed");
        }
        let object = self.write(&[request.body()]);
        let etag = object.etag.clone();
        let before = {
            let mut inner = self.inner.lock().unwrap();
            inner.objects.insert(path.to_owned(), object)
        };
        forget(before);
        answer(200, &[("etag", &etag)], Bytes::new())
    }

    fn get(&self, path: &str, request: &Request<Bytes>, with_body: bool) -> Answer {
        let object = self.inner.lock().unwrap().objects.get(path).cloned();
        let Some(object) = object else {
            return error(404, "NoSuchKey");
        };
        let range = request.headers().get("range");
        let range =
            range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
        let (from, to) = match range {
            Some((from, to)) => {
                let from: u64 = from.parse().unwrap();
                if from >= object.size {
                    return error(416, "InvalidRange");
                }
                let to = to.parse().unwrap_or(u64::MAX).min(object.size - 1);
                (from, to + 1)
            }
            None => (0, object.size),
        };
        let etag = object.etag.as_str();
        if !with_body {
            let size = object.size.to_string();
            return answer(
                200,
                &[("etag", etag), ("content-length", &size)],
                Bytes::new(),
            );
        }
        let mut file = File::open(&object.file).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        let mut body = vec![0; usize::try_from(to - from).unwrap()];
        file.read_exact(&mut body).unwrap();
        self.inner.lock().unwrap().counts.bytes_out += to - from;
        let content_range = format!("bytes {from}-{}/{}", to.saturating_sub(1), object.size);
        let status = if range.is_some() { 206 } else { 200 };
        let headers = [("etag", etag), ("content-range", content_range.as_str())];
        let count = if range.is_some() { 2 } else { 1 };
        answer(status, &headers[..count], body.into())
    }

    fn list(&self, bucket: &str, query: &Query) -> Answer {
        const PAGE: usize = 1000;
        let prefix = format!("{bucket}/{}", query.get("prefix").unwrap_or_default());
        let after = query
            .get("start-after")
            .map(|key| format!("{bucket}/{key}"))
            .unwrap_or_default();
        let inner = self.inner.lock().unwrap();
        let mut found = inner
            .objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| **key > after);
        let mut xml = String::from("<ListBucketResult>");
        for (key, object) in found.by_ref().take(PAGE) {
            let key = escaped(&key[bucket.len() + 1..]);
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-11-20T00:00:00.000Z</LastModified></Contents>",
                object.size
            );
        }
        let is_truncated = found.next().is_some();
        let _ = write!(
            xml,
            "<IsTruncated>{is_truncated}</IsTruncated></ListBucketResult>"
        );
        answer(200, &[("content-type", "application/xml")], xml.into())
    }

    fn begin(&self, path: &str) -> Answer {
        let mut inner = self.inner.lock().unwrap();
        inner.next += 1;
        let id = format!("upload-{}", inner.next);
        inner.uploads.insert(id.clone(), BTreeMap::new());
        let xml = format!(
            "<InitiateMultipartUploadResult><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(path)
        );
        answer(200, &[("content-type", "application/xml")], xml.into())
    }

    fn part(&self, upload: &str, query: &Query, body: &Bytes) -> Answer {
        let number = query.get("partNumber").unwrap().parse().unwrap();
        let object = self.write(&[body]);
        let etag = object.etag.clone();
        let mut inner = self.inner.lock().unwrap();
        let Some(parts) = inner.uploads.get_mut(upload) else {
            return error(404, "NoSuchUpload");
        };
        forget(parts.insert(number, object));
        answer(200, &[("etag", &etag)], Bytes::new())
    }

    fn complete(&self, path: &str, upload: &str) -> Answer {
        let parts = self.inner.lock().unwrap().uploads.remove(upload);
        let Some(parts) = parts else {
            return error(404, "NoSuchUpload");
        };
        let mut whole = self.write(&[]);
        let mut file = File::create(&whole.file).unwrap();
        for part in parts.into_values() {
            whole.size += std::io::copy(&mut File::open(&part.file).unwrap(), &mut file).unwrap();
            forget(Some(part));
        }
        let xml = format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escaped(&whole.etag)
        );
        let before = {
            let mut inner = self.inner.lock().unwrap();
            inner.objects.insert(path.to_owned(), whole)
        };
        forget(before);
        answer(200, &[("content-type", "application/xml")], xml.into())
    }

    fn delete_many(&self, bucket: &str, body: &Bytes) -> Answer {
        let text = std::str::from_utf8(body).unwrap();
        for piece in text.split("<Key>").skip(1) {
            let key = piece.split("</Key>").next().unwrap();
            let key = quick_xml::escape::unescape(key).unwrap();
            self.delete(&format!("{bucket}/{key}"));
        }
        let xml = "<DeleteResult></DeleteResult>";
        answer(200, &[("content-type", "application/xml")], xml.into())
    }

    fn delete(&self, path: &str) {
        let before = self.inner.lock().unwrap().objects.remove(path);
        forget(before);
    }
}

/// Removes the file of an object that is no more.
fn forget(object: Option<Object>) {
    if let Some(object) = object {
        std::fs::remove_file(object.file).unwrap();
    }
}

/// Serves the store until the future is dropped.
pub(crate) async fn serve(store: Arc<Store>, listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let store = Arc::clone(&store);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let request = Request::from_parts(parts, body);
                    Ok::<_, hyper::Error>(store.answer(&request))
                }
            });
            // The client went away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Query(BTreeMap<String, String>);

impl Query {
    fn of(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self(text.split('&').map(pair).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .unwrap()
        .into_owned()
}

fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

fn answer(status: u16, headers: &[(&str, &str)], body: Bytes) -> Answer {
    let mut response = Response::builder()
        .status(status)
        .header("x-amz-request-id", "scale");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body)).unwrap()
}

fn empty(status: u16) -> Answer {
    answer(status, &[], Bytes::new())
}

fn error(status: u16, code: &str) -> Answer {
    let xml = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    answer(status, &[("content-type", "application/xml")], xml.into())
}
