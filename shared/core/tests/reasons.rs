//! The table of reasons: complete, usable at night, and the same in the documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use sentinel_core::ledger::{Destination, Group, How};
use sentinel_core::reasons::{
    Class, REASONS, Reason, UNKNOWN, classify, is_about_source, markdown, may_be_about_metadata,
};

/// Every code that S3's user guide lists, with what is to become of the versions.
#[rustfmt::skip]
const DOCUMENTED: [(&str, Class); 39] = [
    ("AssumeRoleNotPermitted", Class::Configuration),
    ("DstBucketInvalidRegion", Class::Configuration),
    ("DstBucketNotFound", Class::Configuration),
    ("DstBucketObjectLockConfigMissing", Class::Configuration),
    ("DstBucketUnversioned", Class::Configuration),
    ("DstDelObjNotPermitted", Class::Configuration),
    ("DstKmsKeyInvalidState", Class::Configuration),
    ("DstKmsKeyNotFound", Class::Configuration),
    ("DstMultipartCompleteNotPermitted", Class::Configuration),
    ("DstMultipartInitNotPermitted", Class::Configuration),
    ("DstMultipartUploadNotPermitted", Class::Configuration),
    ("DstObjectHardDeleted", Class::Final(How::HardDeleted)),
    ("DstPutAclNotPermitted", Class::Configuration),
    ("DstPutLegalHoldNotPermitted", Class::Configuration),
    ("DstPutObjectNotPermitted", Class::Configuration),
    ("DstPutRetentionNotPermitted", Class::Configuration),
    ("DstPutTaggingNotPermitted", Class::Configuration),
    ("DstVersionNotFound", Class::OnceMore),
    ("InitiateReplicationNotPermitted", Class::Configuration),
    ("SrcBucketInvalidRegion", Class::Configuration),
    ("SrcBucketNotFound", Class::Configuration),
    ("SrcBucketReplicationConfigMissing", Class::Configuration),
    ("SrcGetAclNotPermitted", Class::Configuration),
    ("SrcGetLegalHoldNotPermitted", Class::Configuration),
    ("SrcGetObjectNotPermitted", Class::Configuration),
    ("SrcGetRetentionNotPermitted", Class::Configuration),
    ("SrcGetTaggingNotPermitted", Class::Configuration),
    ("SrcHeadObjectNotPermitted", Class::Configuration),
    ("SrcKeyNotFound", Class::Final(How::Gone)),
    ("SrcKmsKeyInvalidState", Class::Configuration),
    ("SrcObjectNotEligible", Class::Final(How::Ineligible)),
    ("SrcObjectNotFound", Class::Final(How::Gone)),
    ("SrcReplicationNotPending", Class::AlreadyReplicated),
    ("SrcVersionNotFound", Class::Final(How::Gone)),
    ("SrcGetObjectAnnotationNotPermitted", Class::Configuration),
    ("DstPutObjectAnnotationNotPermitted", Class::Configuration),
    ("SrcAnnotationNotFound", Class::Final(How::Gone)),
    ("SrcAnnotationEncryptionUnsupported", Class::Final(How::Ineligible)),
    ("AnnotationLimitExceeded", Class::Configuration),
];

#[test]
fn every_documented_reason_is_known() {
    for (code, class) in DOCUMENTED {
        for text in [code.to_owned(), format!(" {code} \n")] {
            let reason = classify(&text);
            assert_eq!(reason.code, code);
            assert_eq!(reason.class, class, "{code}");
        }
    }
    assert_eq!(REASONS.len(), DOCUMENTED.len());
    assert!(
        REASONS.is_sorted_by(|a, b| a.code < b.code),
        "each once, in order"
    );
}

#[test]
fn what_nobody_documented_is_held_for_a_person() {
    for text in [
        "",
        " ",
        "SrcObjectMislaid",
        "assumerolenotpermitted",
        "AssumeRoleNotPermitted.",
        "unknown",
    ] {
        assert_eq!(classify(text), &UNKNOWN, "{text:?}");
    }
    assert_eq!(UNKNOWN.class, Class::Configuration);
    assert_eq!(UNKNOWN.class.settles_as(), None);
}

/// The table, and what is said of everything else.
fn all() -> impl Iterator<Item = &'static Reason> {
    REASONS.iter().chain([&UNKNOWN])
}

#[test]
fn every_reason_helps_somebody() {
    for reason in all() {
        let Reason {
            code,
            meaning,
            remedy,
            look,
            ..
        } = reason;
        for text in [meaning, remedy] {
            assert!(text.len() > 20 && text.ends_with('.'), "{code}: {text}");
            assert!(
                !text.contains('\n') && !text.contains("  "),
                "{code}: {text}"
            );
            assert_eq!(text.matches('`').count() % 2, 0, "{code}: {text}");
        }
        assert!(look.starts_with("aws "), "{code}: {look}");
        let (_, command) = look.split_once(' ').unwrap();
        let verb = command.split(' ').nth(1).unwrap();
        assert!(
            ["get-", "head-", "list-", "describe-", "simulate-"]
                .iter()
                .any(|reads| verb.starts_with(reads)),
            "{code}: {look} changes something"
        );
        // Where a permission is missing, the remedy names it and where it belongs.
        if code.ends_with("NotPermitted") {
            assert!(remedy.contains("role"), "{code}: {remedy}");
            assert!(
                remedy.contains("`s3:")
                    || remedy.contains("`sts:")
                    || remedy.contains("annotations"),
                "{code}: {remedy}"
            );
            let side = if code.starts_with("Dst") {
                "DESTINATION"
            } else {
                "SOURCE"
            };
            assert!(
                remedy.contains(side) || *code == "AssumeRoleNotPermitted",
                "{code}: {remedy}"
            );
            // And the command asks for just that, on that side.
            if let Some((_, asked)) = look.split_once("--action-names ") {
                let (action, rest) = asked.split_once(' ').unwrap();
                assert!(rest.contains(&format!("arn:aws:s3:::{side}/")), "{code}");
                assert!(
                    remedy.contains(&format!("`{action}`")) || remedy.contains("annotations"),
                    "{code}: {action} is not what the remedy names"
                );
            }
        }
    }
}

#[test]
fn the_buckets_are_filled_in() {
    let group = Group {
        source: "app-use1".parse().unwrap(),
        destination: "app-euw1".parse().unwrap(),
        rule: "r".to_owned(),
        reason: String::new(),
    };
    for reason in all() {
        for text in [reason.remedy_for(&group), reason.look_for(&group)] {
            assert!(!text.contains("DESTINATION"), "{text}");
            assert!(!text.contains("SOURCE"), "{text}");
            // Nothing else begins or ends like a bucket's stand-in.
            assert!(!text.contains("app-use1_"), "{text}");
            assert!(!text.contains("app-euw1_"), "{text}");
        }
    }
    let reason = classify("DstBucketUnversioned");
    assert_eq!(
        reason.look_for(&group),
        "aws s3api get-bucket-versioning --bucket app-euw1"
    );
    assert!(reason.remedy_for(&group).contains("--bucket app-euw1"));
    let anywhere = Group {
        destination: Destination::Any,
        ..group
    };
    assert_eq!(
        reason.look_for(&anywhere),
        "aws s3api get-bucket-versioning --bucket DESTINATION"
    );
}

#[test]
fn every_class_tells_how_it_ends() {
    for reason in all() {
        let said = reason.class.describe();
        match reason.class.settles_as() {
            None => assert!(said.starts_with("held"), "{said}"),
            Some(how) => assert!(
                said.contains(how.as_str()) || how == How::Already,
                "{said} is not {how}"
            ),
        }
    }
}

#[test]
fn the_documentation_shows_this_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redrive.md");
    let page = std::fs::read_to_string(path).unwrap();
    let shown = page
        .split_once("<!-- reasons:begin -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- reasons:end -->"))
        .unwrap_or_else(|| panic!("docs/redrive.md has lost its markers around the table"))
        .0;
    let table = markdown();
    assert!(
        shown.trim() == table.trim(),
        "put this between the markers of docs/redrive.md:\n\n{table}"
    );
}

#[test]
fn reasons_tell_what_they_may_be_about() {
    let about_source = |code: &str| code.starts_with('S') || code.starts_with("Initiate");
    let metadata = [
        "AnnotationLimitExceeded",
        "DstPutAclNotPermitted",
        "DstPutLegalHoldNotPermitted",
        "DstPutObjectAnnotationNotPermitted",
        "DstPutRetentionNotPermitted",
        "DstPutTaggingNotPermitted",
        "DstVersionNotFound",
        "SrcAnnotationEncryptionUnsupported",
        "SrcAnnotationNotFound",
        "SrcGetAclNotPermitted",
        "SrcGetLegalHoldNotPermitted",
        "SrcGetObjectAnnotationNotPermitted",
        "SrcGetRetentionNotPermitted",
        "SrcGetTaggingNotPermitted",
    ];
    for Reason { code, .. } in REASONS {
        assert_eq!(is_about_source(code), about_source(code), "{code}");
        assert_eq!(
            may_be_about_metadata(code),
            metadata.contains(code),
            "{code}"
        );
    }
    assert!(is_about_source(" SrcVersionNotFound "));
    assert!(
        !is_about_source("SomethingNew"),
        "it may be of a destination"
    );
    assert!(!may_be_about_metadata("SomethingNew"));
}
