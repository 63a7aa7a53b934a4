//! `CreateJob` requests: what they must say, and what is made of them.

use super::Generator;
use super::manifest::Fields;
use crate::wire::ServiceError;
use crate::wire::xml::Element;

/// A request as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct JobRequest {
    pub(crate) token: String,
    pub(crate) confirmation: bool,
    pub(crate) description: Option<String>,
    pub(crate) priority: u32,
    pub(crate) role_arn: String,
    pub(crate) report: ReportRequest,
    pub(crate) source: Source,
    pub(crate) tags: Vec<(String, String)>,
    /// The elements that `DescribeJob` shows as they came.
    pub(super) shown: Vec<Element>,
}

/// Where the versions come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Csv(Manifest),
    Generated(Generator),
}

/// A CSV manifest.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    pub(crate) etag: String,
    pub(crate) fields: Fields,
}

/// Whether and where a report is wanted.
#[derive(Debug, Clone)]
pub(crate) struct ReportRequest {
    pub(crate) enabled: bool,
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
    pub(crate) failed_only: bool,
}

impl JobRequest {
    /// Reads and checks a request of this account.
    pub(super) fn read(body: &[u8], account: &str) -> Result<Self, ServiceError> {
        let document = Element::parse(body)
            .filter(|document| document.name == "CreateJobRequest")
            .ok_or_else(|| {
                let message = "The XML you provided was not well-formed or did not validate against our published schema";
                ServiceError::new(400, "MalformedXML", message)
            })?;
        let token = text(&document, "ClientRequestToken", 1..=64)?;
        let priority = text(&document, "Priority", 1..=10)?
            .parse()
            .ok()
            .filter(|priority| i32::try_from(*priority).is_ok())
            .ok_or_else(|| bad("Priority must be between 0 and 2147483647"))?;
        let role_arn = text(&document, "RoleArn", 1..=2048)?;
        check_role(&role_arn, account)?;
        check_operation(&document)?;
        let description = match document.text_of("Description") {
            Some(_) => Some(text(&document, "Description", 1..=256)?),
            None => None,
        };
        let source = match (
            document.child("Manifest"),
            document.child("ManifestGenerator"),
        ) {
            (Some(manifest), None) => csv_source(manifest)?,
            (None, Some(generator)) => Source::Generated(Generator::read(generator, account)?),
            _ => {
                return Err(bad(
                    "Exactly one of Manifest and ManifestGenerator must be given",
                ));
            }
        };
        let shown = ["Manifest", "Operation", "Report", "ManifestGenerator"];
        let shown = shown
            .iter()
            .filter_map(|name| document.child(name).cloned());
        Ok(Self {
            token,
            confirmation: match document.text_of("ConfirmationRequired") {
                None => true,
                Some(text) => boolean("ConfirmationRequired", text)?,
            },
            description,
            priority,
            role_arn,
            report: report(&document)?,
            source,
            tags: tags(&document)?,
            shown: shown.collect(),
        })
    }
}

fn check_role(arn: &str, account: &str) -> Result<(), ServiceError> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, _partition, iam, region, owner, role) =
        (next(), next(), next(), next(), next(), next());
    if arn != "arn" || iam != "iam" || !region.is_empty() || !role.starts_with("role/") {
        return Err(bad("RoleArn is not the ARN of a role"));
    }
    if owner != account {
        return Err(bad("The role must belong to the job's account"));
    }
    Ok(())
}

fn check_operation(document: &Element) -> Result<(), ServiceError> {
    let operation = document
        .child("Operation")
        .ok_or_else(|| bad("Operation is required"))?;
    match operation.children.as_slice() {
        [only] if only.name == "S3ReplicateObject" => Ok(()),
        [only] => Err(ServiceError::new(
            501,
            "NotImplemented",
            format!("The operation {} is not implemented", only.name),
        )),
        _ => Err(bad("Operation must have exactly one member")),
    }
}

fn csv_source(manifest: &Element) -> Result<Source, ServiceError> {
    let spec = manifest
        .child("Spec")
        .ok_or_else(|| bad("Manifest.Spec is required"))?;
    match spec.text_of("Format") {
        Some("S3BatchOperations_CSV_20180820") => {}
        Some("S3InventoryReport_CSV_20161130") => {
            let message = "Inventory manifests are not implemented";
            return Err(ServiceError::new(501, "NotImplemented", message));
        }
        _ => return Err(bad("Manifest.Spec.Format is no known format")),
    }
    let names = spec.child("Fields").map_or(&[][..], |list| &list.children);
    let names: Vec<&str> = names.iter().map(|name| name.text.trim()).collect();
    let fields = Fields::read(&names)
        .ok_or_else(|| bad("Manifest.Spec.Fields must name Bucket and Key once"))?;
    let location = manifest
        .child("Location")
        .ok_or_else(|| bad("Manifest.Location is required"))?;
    let arn = text(location, "ObjectArn", 1..=2000)?;
    let (bucket, key) = arn
        .strip_prefix("arn:aws:s3:::")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| bad("Manifest.Location.ObjectArn is not the ARN of an object"))?;
    let version = match location.text_of("ObjectVersionId") {
        Some(_) => Some(text(location, "ObjectVersionId", 1..=2000)?),
        None => None,
    };
    Ok(Source::Csv(Manifest {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version,
        etag: text(location, "ETag", 1..=1024)?,
        fields,
    }))
}

fn report(document: &Element) -> Result<ReportRequest, ServiceError> {
    let report = document
        .child("Report")
        .ok_or_else(|| bad("Report is required"))?;
    let enabled = report
        .text_of("Enabled")
        .ok_or_else(|| bad("Report.Enabled is required"))?;
    let enabled = boolean("Report.Enabled", enabled)?;
    if !enabled {
        return Ok(ReportRequest {
            enabled,
            bucket: String::new(),
            prefix: None,
            failed_only: false,
        });
    }
    if report.text_of("Format") != Some("Report_CSV_20180820") {
        return Err(bad("Report.Format must be Report_CSV_20180820"));
    }
    let failed_only = match report.text_of("ReportScope") {
        Some("AllTasks") => false,
        Some("FailedTasksOnly") => true,
        _ => {
            return Err(bad(
                "Report.ReportScope must be AllTasks or FailedTasksOnly",
            ));
        }
    };
    let prefix = match report.text_of("Prefix") {
        Some(_) => Some(text(report, "Prefix", 1..=512)?),
        None => None,
    };
    Ok(ReportRequest {
        enabled,
        bucket: bucket_of(&text(report, "Bucket", 1..=128)?)?,
        prefix,
        failed_only,
    })
}

fn tags(document: &Element) -> Result<Vec<(String, String)>, ServiceError> {
    let tags = document
        .child("Tags")
        .map_or(&[][..], |tags| &tags.children);
    if tags.len() > 50 {
        return Err(ServiceError::new(
            400,
            "TooManyTagsException",
            "A job has at most 50 tags",
        ));
    }
    let tag = |tag: &Element| {
        let value = match tag.text_of("Value") {
            Some("") => String::new(),
            _ => text(tag, "Value", 1..=256)?,
        };
        Ok((text(tag, "Key", 1..=128)?, value))
    };
    let tags: Vec<(String, String)> = tags.iter().map(tag).collect::<Result<_, ServiceError>>()?;
    let allowed = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    if tags
        .iter()
        .any(|(key, value)| !key.chars().chain(value.chars()).all(allowed))
    {
        return Err(bad("A tag has characters that are not allowed"));
    }
    Ok(tags)
}

/// The bucket of `arn:aws:s3:::bucket`. Neither access points nor MRAPs will do.
pub(super) fn bucket_of(arn: &str) -> Result<String, ServiceError> {
    arn.strip_prefix("arn:aws:s3:::")
        .filter(|bucket| !bucket.is_empty() && !bucket.contains(['/', ':']))
        .map(str::to_owned)
        .ok_or_else(|| bad(&format!("{arn} is not the ARN of a bucket")))
}

/// A text of so many characters.
pub(super) fn text(
    element: &Element,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, ServiceError> {
    let text = element
        .text_of(name)
        .ok_or_else(|| bad(&format!("{name} is required")))?;
    if length.contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        let (least, most) = length.into_inner();
        Err(bad(&format!(
            "{name} must have {least} to {most} characters"
        )))
    }
}

pub(super) fn boolean(name: &str, text: &str) -> Result<bool, ServiceError> {
    text.parse()
        .map_err(|_| bad(&format!("{name} must be true or false")))
}

pub(super) fn bad(message: &str) -> ServiceError {
    ServiceError::new(400, "BadRequestException", message)
}
