"""What a configuration asks for, in the words of CloudFormation and S3. Pure: no call is made here."""

from plane import templates
from plane.clients import MRAP_REGION
from plane.stacks import Wanted


class Plan:
    def __init__(self, config, account):
        self.config = config
        self.account = account

    def bucket(self, member):
        return member.bucket_of(self.config.name, self.account)

    def work_bucket(self, member):
        return member.work_bucket_of(self.config.name, self.account)

    def events_topic(self, member):
        """Known before the topic exists, so that the automation's queue can name it first."""
        return f"arn:aws:sns:{member.region}:{self.account}:{self.config.name}-replication-events"

    def stacks(self):
        """Region and name of every stack."""
        config = self.config
        members = [(member.region, config.member_stack) for member in config.members]
        watchdogs = [(config.watchdog.region, config.watchdog_stack)] if config.watchdog else []
        return [(MRAP_REGION, config.access_point_stack), *members, *watchdogs]

    def own_tags(self):
        """What tells our stacks from others of the same name."""
        return {"mrap-sentinel": self.config.name}

    def first_pass(self, member):
        """A member's stack before the other buckets exist: without rules."""
        nobody = {f"Destination1{part}": "" for part in ("Bucket", "Region", "KmsKeyArn")}
        return self._member(member, self._own_parameters(member) | nobody, 1)

    def second_pass(self, member, keys, queue):
        """A member's stack as it stays: rules towards all others, and wired if the automation's queue exists."""
        others = self.config.others(member)
        parameters = self._own_parameters(member)
        for number, other in enumerate(others, 1):
            parameters[f"Destination{number}Bucket"] = self.bucket(other)
            parameters[f"Destination{number}Region"] = other.region
            parameters[f"Destination{number}KmsKeyArn"] = keys.get(other.region, "")
        if further := self.config.further:
            parameters |= {
                "FurtherBucket": further.bucket,
                "FurtherRegion": further.region,
                "FurtherAccount": further.account,
                "FurtherKmsKeyArn": further.kms_key_arn,
            }
        if queue:
            parameters |= {
                "ReplicationEventsQueueArn": queue,
                "ControlRegion": self.config.control_region if member.alarms else "",
                "ForwardedAlarms": ",".join(member.alarms),
            }
        return self._member(member, parameters, len(others))

    def access_point(self):
        # Not in the order of preference: for CloudFormation another order is another access point.
        members = sorted(self.config.members, key=lambda member: member.region)
        buckets = {f"Member{number}Bucket": self.bucket(member) for number, member in enumerate(members, 1)}
        return Wanted(
            region=MRAP_REGION,
            name=self.config.access_point_stack,
            template=templates.access_point(len(members)),
            parameters={"Name": self.config.name, **buckets},
            tags=self._tags(),
        )

    def watchdog(self, arn):
        watchdog = self.config.watchdog
        return Wanted(
            region=watchdog.region,
            name=self.config.watchdog_stack,
            template=templates.watchdog(),
            parameters={
                "MrapArn": arn,
                "Members": self._members(self.bucket),
                "ControlRegion": self.config.control_region,
                "NotificationEmail": watchdog.notification_email,
            },
            tags=self._tags(),
        )

    def _members(self, bucket):
        return ",".join(f"{bucket(member)}@{member.region}" for member in self.config.members)

    def automation(self, arn, keys):
        """The parameters of template.yaml that follow from all this; SAM refuses an empty one."""
        members = self.config.members
        parameters = {
            "MrapArn": arn,
            "Members": self._members(self.bucket),
            "WorkBuckets": self._members(self.work_bucket),
            "Topology": self.config.topology,
            "CanaryPrefix": self.config.canary_prefix,
            "ReplicationEventTopicArns": ",".join(self.events_topic(member) for member in members),
            "MemberKmsKeyArns": ",".join(keys[member.region] for member in members) if keys else "",
            "NotificationEmail": self.config.notification_email,
            "HeartbeatRegion": self.config.watchdog.region if self.config.watchdog else "",
            # Without it the control Region drops what the members forward.
            "TriggerAlarms": ",".join(dict.fromkeys(alarm for member in members for alarm in member.alarms)),
        }
        return {key: value for key, value in parameters.items() if value}

    def replication(self, member, keys):
        """The replication configuration that a member's stack gives its bucket."""
        rules = []
        for number, other in enumerate(self.config.others(member), 1):
            rules.append(self._rule(f"to-{other.region}", number, self.bucket(other), keys.get(other.region)))
            if self.config.replication.scope != "whole":
                rules.append(self._canary_rule(number, other, keys.get(other.region)))
        if further := self.config.further:
            rule = self._rule(f"to-{further.account}-{further.region}", 50, further.bucket, further.kms_key_arn)
            rule["Destination"] |= {"Account": further.account, "AccessControlTranslation": {"Owner": "Destination"}}
            del rule["SourceSelectionCriteria"]["ReplicaModifications"]  # nothing comes back from there
            if not rule["SourceSelectionCriteria"]:
                del rule["SourceSelectionCriteria"]
            rules.append(rule)
        role = f"arn:aws:iam::{self.account}:role/{self.config.name}-replication-{member.region}"
        return {"Role": role, "Rules": rules}

    def lifecycle(self):
        """The lifecycle rules that a member's stack gives its bucket."""
        return [
            {
                "ID": "canaries",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{self.config.canary_prefix}/"},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            },
            {
                "ID": "incomplete-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
            },
        ]

    def encryption(self, key):
        """The default encryption that a member's stack gives its bucket."""
        if key is None:
            return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        return {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
            "BucketKeyEnabled": self.config.bucket_key,
        }

    def _rule(self, rule_id, priority, bucket, key):
        replication = self.config.replication
        tag = {"Key": replication.tag_key, "Value": replication.tag_value}
        rule = {
            "ID": rule_id,
            "Status": "Enabled",
            "Priority": priority,
            "Filter": {"Tag": tag} if replication.scope == "tag" else {"Prefix": replication.prefix},
            "DeleteMarkerReplication": _status(replication.delete_markers),
            "SourceSelectionCriteria": {"ReplicaModifications": _status(replication.replica_modifications)},
            "Destination": {"Bucket": f"arn:aws:s3:::{bucket}", "Metrics": _status(True)},
        }
        if replication.storage_class:
            rule["Destination"]["StorageClass"] = replication.storage_class
        if replication.time_control:
            rule["Destination"]["ReplicationTime"] = {**_status(True), "Time": {"Minutes": 15}}
            rule["Destination"]["Metrics"] = {**_status(True), "EventThreshold": {"Minutes": 15}}
        return _encrypted(rule, key)

    def _canary_rule(self, number, other, key):
        rule = {
            "ID": f"canaries-to-{other.region}",
            "Status": "Enabled",
            "Priority": 100 + number,
            "Filter": {"Prefix": f"{self.config.canary_prefix}/"},
            "DeleteMarkerReplication": _status(False),
            "Destination": {"Bucket": f"arn:aws:s3:::{self.bucket(other)}", "Metrics": _status(True)},
        }
        return _encrypted(rule, key)

    def _own_parameters(self, member):
        """Every parameter but those of other members, with what says nothing of others and of the automation."""
        config, replication = self.config, self.config.replication
        return {
            "Name": config.name,
            "BucketName": self.bucket(member),
            "WorkBucketName": self.work_bucket(member),
            "CanaryPrefix": config.canary_prefix,
            "PermissionsBoundaryArn": config.permissions_boundary_arn,
            "Encryption": config.encryption,
            "BucketKey": _flag(config.bucket_key),
            "Scope": replication.scope,
            "ScopePrefix": replication.prefix,
            "ScopeTagKey": replication.tag_key,
            "ScopeTagValue": replication.tag_value,
            "DeleteMarkers": _flag(replication.delete_markers),
            "ReplicaModifications": _flag(replication.replica_modifications),
            "TimeControl": _flag(replication.time_control),
            "StorageClass": replication.storage_class,
            "FurtherBucket": "",
            "FurtherRegion": "",
            "FurtherAccount": "",
            "FurtherKmsKeyArn": "",
            "ReplicationEventsQueueArn": "",
            "NotificationEmail": config.notification_email,
            "ControlRegion": "",
            "ForwardedAlarms": "",
            "ForwardedStates": ",".join(config.forwarded_states),
        }

    def _member(self, member, parameters, destinations):
        return Wanted(
            region=member.region,
            name=self.config.member_stack,
            template=templates.member(destinations),
            parameters=parameters,
            tags=self._tags(),
            capabilities=["CAPABILITY_NAMED_IAM"],
            template_bucket=self.work_bucket(member),
        )

    def _tags(self):
        return {**self.config.tags, **self.own_tags()}


def _flag(value):
    return "true" if value else "false"


def _status(enabled):
    return {"Status": "Enabled" if enabled else "Disabled"}


def _encrypted(rule, key):
    if key:
        rule.setdefault("SourceSelectionCriteria", {})["SseKmsEncryptedObjects"] = _status(True)
        rule["Destination"]["EncryptionConfiguration"] = {"ReplicaKmsKeyID": key}
    return rule
