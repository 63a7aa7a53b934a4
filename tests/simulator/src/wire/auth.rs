//! The signature's claims: scheme, account, scope, date. The cryptography itself is not checked:
//! the world knows no secrets, and the claims are what routing and permissions depend on.

use http::HeaderMap;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{ServiceError, header};

const SIGV4: &str = "AWS4-HMAC-SHA256";
const SIGV4A: &str = "AWS4-ECDSA-P256-SHA256";

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `SigV4`: one Region.
    SigV4,
    /// `SigV4A`: a set of Regions.
    SigV4a,
}

/// What a signature claims.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    pub(crate) scheme: Scheme,
    pub(crate) access_key: String,
    /// Region of the scope; for `SigV4A` the Region set, such as `*`.
    pub(crate) region: String,
    pub(crate) service: String,
    date: String,
    signed_headers: Vec<String>,
}

impl Claims {
    /// Reads the `Authorization` header.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, ServiceError> {
        let text = header(headers, "authorization").ok_or_else(|| {
            ServiceError::new(403, "AccessDenied", "Anonymous requests are not allowed")
        })?;
        let (scheme, parameters) = text.split_once(' ').ok_or_else(malformed)?;
        let scheme = match scheme {
            SIGV4 => Scheme::SigV4,
            SIGV4A => Scheme::SigV4a,
            _ => return Err(malformed()),
        };
        let mut credential = None;
        let mut signed_headers = Vec::new();
        let mut signature = None;
        for part in parameters.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => {
                    signed_headers = value.split(';').map(str::to_owned).collect();
                }
                Some(("Signature", value)) => signature = Some(value),
                _ => {}
            }
        }
        if signature.is_none_or(str::is_empty) {
            return Err(malformed());
        }
        let scope: Vec<&str> = credential.ok_or_else(malformed)?.split('/').collect();
        let (access_key, date, region, service) = match (scheme, scope.as_slice()) {
            (Scheme::SigV4, [key, date, region, service, "aws4_request"]) => {
                (*key, *date, (*region).to_owned(), *service)
            }
            (Scheme::SigV4a, [key, date, service, "aws4_request"]) => {
                let regions = header(headers, "x-amz-region-set").ok_or_else(malformed)?;
                (*key, *date, regions.to_owned(), *service)
            }
            _ => return Err(malformed()),
        };
        Ok(Self {
            scheme,
            access_key: access_key.to_owned(),
            region,
            service: service.to_owned(),
            date: date.to_owned(),
            signed_headers,
        })
    }

    /// Checks the headers that every signature must cover, and the scope's date.
    pub(crate) fn check_form(&self, headers: &HeaderMap) -> Result<(), ServiceError> {
        if !self.signed_headers.iter().any(|name| name == "host") {
            return Err(ServiceError::new(
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed: host",
            ));
        }
        let stamp = header(headers, "x-amz-date").unwrap_or_default();
        if stamp.is_empty() || !stamp.starts_with(&self.date) {
            return Err(malformed());
        }
        Ok(())
    }

    /// Whether the signature is good for a Region.
    pub(crate) fn covers(&self, region: &str) -> bool {
        match self.scheme {
            Scheme::SigV4 => self.region == region,
            Scheme::SigV4a => self
                .region
                .split(',')
                .map(str::trim)
                .any(|item| item == "*" || item == region),
        }
    }
}

/// The request's own time from `x-amz-date`.
pub(crate) fn request_time(headers: &HeaderMap) -> Option<Timestamp> {
    let text = header(headers, "x-amz-date")?;
    let civil = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn malformed() -> ServiceError {
    ServiceError::new(
        400,
        "AuthorizationHeaderMalformed",
        "The authorization header that you provided is not valid.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("authorization", authorization.parse().unwrap());
        map.insert("x-amz-date", "20261120T160000Z".parse().unwrap());
        map.insert("x-amz-region-set", "*".parse().unwrap());
        map
    }

    #[test]
    fn both_schemes_are_read() {
        let v4 = headers(
            "AWS4-HMAC-SHA256 Credential=111122223333/20261120/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab",
        );
        let claims = Claims::read(&v4).unwrap();
        assert_eq!(claims.scheme, Scheme::SigV4);
        assert!(claims.covers("us-east-1") && !claims.covers("us-west-2"));
        claims.check_form(&v4).unwrap();
        let v4a = headers(
            "AWS4-ECDSA-P256-SHA256 Credential=111122223333/20261120/s3/aws4_request, SignedHeaders=host, Signature=ab",
        );
        let claims = Claims::read(&v4a).unwrap();
        assert_eq!(claims.scheme, Scheme::SigV4a);
        assert!(claims.covers("us-east-1") && claims.covers("us-west-2"));
        assert_eq!(
            request_time(&v4a).unwrap(),
            "2026-11-20T16:00:00Z".parse::<Timestamp>().unwrap()
        );
    }

    #[test]
    fn broken_signatures_are_refused() {
        for text in [
            "",
            "Basic x",
            "AWS4-HMAC-SHA256 Credential=a/20261120/us-east-1/s3/aws4_request, SignedHeaders=host",
            "AWS4-HMAC-SHA256 Credential=a/20261120/s3/aws4_request, SignedHeaders=host, Signature=a",
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=a",
        ] {
            assert!(Claims::read(&headers(text)).is_err(), "{text}");
        }
        let unsigned_host = headers(
            "AWS4-HMAC-SHA256 Credential=a/20261120/us-east-1/s3/aws4_request, SignedHeaders=x-amz-date, Signature=a",
        );
        let claims = Claims::read(&unsigned_host).unwrap();
        assert!(claims.check_form(&unsigned_host).is_err());
    }
}
