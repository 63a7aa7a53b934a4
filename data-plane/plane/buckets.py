"""The member buckets as S3 itself describes them.

CloudFormation compares a stack with its own last update. What was changed past it, it neither sees nor mends: the
console's "replicate objects among all specified buckets", for one, replaces all replication rules.
"""

from botocore.exceptions import ClientError


class Buckets:
    def __init__(self, clients, progress, plan):
        self._clients = clients
        self._progress = progress
        self._plan = plan

    def mend(self, member, keys):
        """Puts what the stack gave the bucket and is missing or different; foreign rules stay."""
        s3, bucket = self._clients("s3", member.region), self._plan.bucket(member)
        key = keys.get(member.region)
        before = self._progress.changes
        self._mend_versioning(s3, bucket)
        self._mend_encryption(s3, bucket, self._plan.encryption(key))
        self._mend_lifecycle(s3, bucket, self._plan.lifecycle())
        self._mend_replication(s3, bucket, self._plan.replication(member, keys))
        if self._progress.changes == before:
            self._progress.say(f"{bucket}: as its stack says")
        self._warn_of_retention(s3, bucket)

    def _mend_versioning(self, s3, bucket):
        found = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        if found != "Enabled":
            if self._progress.change(f"switch versioning of {bucket} on{' again' if found else ''}"):
                s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def _mend_encryption(self, s3, bucket, wanted):
        found = _read(s3.get_bucket_encryption, bucket, "ServerSideEncryptionConfigurationNotFoundError") or {}
        rules = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        if not (len(rules) == 1 and _holds(rules[0], wanted)):
            if self._progress.change(_putting("default encryption", bucket, bool(rules))):
                s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [wanted]})

    def _mend_lifecycle(self, s3, bucket, wanted):
        found = _read(s3.get_bucket_lifecycle_configuration, bucket, "NoSuchLifecycleConfiguration") or {}
        present = [_with_filter(rule) for rule in found.get("Rules", [])]
        if rules := _mended(present, wanted):
            if self._progress.change(_putting("lifecycle rules", bucket, _has_any(present, wanted))):
                s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})

    def _mend_replication(self, s3, bucket, wanted):
        found = _read(s3.get_bucket_replication, bucket, "ReplicationConfigurationNotFoundError") or {}
        found = found.get("ReplicationConfiguration", {})
        rules = _mended(found.get("Rules", []), wanted["Rules"])
        if rules or found.get("Role") != wanted["Role"]:
            has_any = _has_any(found.get("Rules", []), wanted["Rules"])
            if self._progress.change(_putting("replication rules", bucket, has_any)):
                s3.put_bucket_replication(
                    Bucket=bucket,
                    ReplicationConfiguration={"Role": wanted["Role"], "Rules": rules or found["Rules"]},
                )

    def _warn_of_retention(self, s3, bucket):
        """Never set by us; then every canary stays as long as the default says."""
        found = _read(s3.get_object_lock_configuration, bucket, "ObjectLockConfigurationNotFoundError") or {}
        retention = found.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
        if retention:
            period = f"{retention['Days']} days" if "Days" in retention else f"{retention['Years']} years"
            self._progress.say(
                f"WARNING {bucket} has default retention of {period} ({retention['Mode']}): canaries are written all "
                "the time and cannot expire before, so they pile up. Remove the default and lock objects one by one, "
                "or accept the cost"
            )


def _putting(what, bucket, differs):
    """A first run on an emulator finds some of it missing: no fault, so not the same words as for what differs."""
    return f"put the {what} of {bucket} back" if differs else f"put the missing {what} of {bucket}"


def _has_any(found, wanted):
    """Whether a rule of ours is there, whatever it says."""
    return not {rule.get("ID") for rule in found}.isdisjoint(rule["ID"] for rule in wanted)


def _with_filter(rule):
    """A lifecycle rule in today's form; the older one, prefix without filter, may not stand beside it."""
    if "Filter" in rule:
        return rule
    prefix = rule.get("Prefix", "")
    return {**{key: value for key, value in rule.items() if key != "Prefix"}, "Filter": {"Prefix": prefix}}


def _mended(found, wanted):
    """All rules if one of ours is missing or different, else nothing."""
    by_id = {rule.get("ID"): rule for rule in found}
    if all(_holds(by_id.get(rule["ID"], {}), rule) for rule in wanted):
        return None
    ours = {rule["ID"] for rule in wanted}
    return wanted + [rule for rule in found if rule.get("ID") not in ours]


def _holds(found, wanted):
    """Whether all that is wanted is there; S3 answers more than it was given, and drops what is empty."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(found.get(key), value) for key, value in wanted.items())
    return found == wanted or (wanted == "" and found is None)


def _read(call, bucket, code_if_none):
    try:
        return call(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == code_if_none:
            return None
        raise
