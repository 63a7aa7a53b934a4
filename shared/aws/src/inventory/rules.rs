//! Rules of replication and lifecycle, in this project's words.

use aws_sdk_s3::types::{
    DeleteMarkerReplicationStatus, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    MetricsStatus, ReplicaModificationsStatus, ReplicationRule, ReplicationRuleFilter,
    ReplicationRuleStatus, ReplicationTimeStatus, SseKmsEncryptedObjectsStatus, Tag,
};
use sentinel_core::readiness::inventory::{LifecycleAction, Rule, Scope};

/// A replication rule.
pub(super) fn rule(rule: ReplicationRule) -> Rule {
    // Of the first form are rules without a filter.
    let deprecated_form = rule.filter.is_none();
    #[expect(deprecated, reason = "rules of that form are to be found")]
    let outside = rule.prefix.unwrap_or_default();
    let scope = match rule.filter {
        None => Scope::of_prefix(&outside),
        Some(filter) => of_replication(filter),
    };
    let selected = rule.source_selection_criteria;
    let kms = selected
        .as_ref()
        .and_then(|one| one.sse_kms_encrypted_objects.as_ref());
    let modifications = selected
        .as_ref()
        .and_then(|one| one.replica_modifications.as_ref());
    let markers = rule.delete_marker_replication.and_then(|one| one.status);
    let destination = rule.destination;
    let to = destination.as_ref();
    Rule {
        id: rule.id.unwrap_or_default(),
        enabled: rule.status == ReplicationRuleStatus::Enabled,
        priority: rule.priority,
        scope,
        deprecated_form,
        destination: to.map_or_else(String::new, |to| {
            let name = to.bucket.rsplit(':').next();
            name.unwrap_or_default().to_owned()
        }),
        account: to.and_then(|to| to.account.clone()),
        metrics: to
            .and_then(|to| to.metrics.as_ref())
            .is_some_and(|metrics| metrics.status == MetricsStatus::Enabled),
        time_control: to
            .and_then(|to| to.replication_time.as_ref())
            .is_some_and(|time| time.status == ReplicationTimeStatus::Enabled),
        // The first form replicates those that users make.
        delete_markers: deprecated_form || markers == Some(DeleteMarkerReplicationStatus::Enabled),
        replica_modifications: modifications
            .is_some_and(|one| one.status == ReplicaModificationsStatus::Enabled),
        kms_objects: kms.is_some_and(|one| one.status == SseKmsEncryptedObjectsStatus::Enabled),
        replica_key: to
            .and_then(|to| to.encryption_configuration.as_ref())
            .and_then(|encryption| encryption.replica_kms_key_id.clone()),
    }
}

fn of_replication(filter: ReplicationRuleFilter) -> Scope {
    let mut scope = Scope::default();
    add(&mut scope, filter.prefix, filter.tag);
    if let Some(and) = filter.and {
        add(&mut scope, and.prefix, and.tags.into_iter().flatten());
    }
    scope
}

fn add(scope: &mut Scope, prefix: Option<String>, tags: impl IntoIterator<Item = Tag>) {
    if let Some(prefix) = prefix {
        scope.prefix = prefix;
    }
    scope
        .tags
        .extend(tags.into_iter().map(|tag| (tag.key, tag.value)));
}

/// What an enabled lifecycle rule does to objects. Aborting uploads that nobody finishes is housekeeping.
pub(super) fn lifecycle(rule: LifecycleRule) -> Vec<LifecycleAction> {
    if rule.status != ExpirationStatus::Enabled {
        return Vec::new();
    }
    #[expect(deprecated, reason = "rules of that form still act")]
    let outside = rule.prefix;
    let mut scope = rule.filter.map_or_else(Scope::default, of_lifecycle);
    if let Some(prefix) = outside {
        scope.prefix = prefix;
    }
    let mut does = Vec::new();
    if let Some(expiration) = rule.expiration {
        if let Some(days) = expiration.days {
            does.push((format!("deletes after {days} days"), false));
        }
        if let Some(date) = expiration.date {
            does.push((format!("deletes from {} on", date.secs()), false));
        }
    }
    for transition in rule.transitions.unwrap_or_default() {
        let class = transition.storage_class;
        let class = class.map_or_else(String::new, |class| class.as_str().to_owned());
        does.push((
            if let Some(date) = transition.date {
                format!("moves to {class} from {} on", date.secs())
            } else {
                let days = transition.days.unwrap_or_default();
                format!("moves to {class} after {days} days")
            },
            false,
        ));
    }
    for transition in rule.noncurrent_version_transitions.unwrap_or_default() {
        let class = transition.storage_class;
        let class = class.map_or_else(String::new, |class| class.as_str().to_owned());
        let days = transition.noncurrent_days.unwrap_or_default();
        does.push((
            format!("moves old versions to {class} after {days} days"),
            false,
        ));
    }
    if let Some(expiration) = rule.noncurrent_version_expiration {
        let days = expiration.noncurrent_days.unwrap_or_default();
        let kept = expiration.newer_noncurrent_versions;
        let kept = kept.map_or_else(String::new, |kept| format!(" but {kept}"));
        does.push((
            format!("deletes old versions{kept} after {days} days"),
            true,
        ));
    }
    does.into_iter()
        .map(|(does, removes_noncurrent)| LifecycleAction {
            scope: scope.clone(),
            does,
            removes_noncurrent,
        })
        .collect()
}

fn of_lifecycle(filter: LifecycleRuleFilter) -> Scope {
    let mut scope = Scope::default();
    let mut sizes = (
        filter.object_size_greater_than,
        filter.object_size_less_than,
    );
    add(&mut scope, filter.prefix, filter.tag);
    if let Some(and) = filter.and {
        sizes = (and.object_size_greater_than, and.object_size_less_than);
        add(&mut scope, and.prefix, and.tags.into_iter().flatten());
    }
    let sizes = [
        sizes.0.map(|bytes| format!("larger than {bytes} bytes")),
        sizes.1.map(|bytes| format!("smaller than {bytes} bytes")),
    ];
    let sizes: Vec<String> = sizes.into_iter().flatten().collect();
    scope.further = sizes.join(" and ");
    scope
}
