"""The configuration file: read once, checked as a whole, every complaint with its remedy."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

NAME = r"[a-z0-9][a-z0-9-]{1,28}[a-z0-9]"
ACCOUNT = r"\d{12}"
BUCKET = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"
REGION = r"[a-z]{2}(-[a-z]+)+-\d"
KEY = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"
EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"
BOUNDARY = r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/.+"
CANARY_PREFIX = r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*"
ALARM = r'[^,?*"\\\n]{1,200}'  # what the automation's parameter TriggerAlarms accepts, and SAM passes on
STATES = r"ALARM|OK|INSUFFICIENT_DATA"
# Enabled in every account. Access points support few of the others, and for events from one of those the queue's
# policy would have to name another principal of SNS.
MEMBER_REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2"),
)
MOST_MEMBERS = len(MEMBER_REGIONS)
STORAGE_CLASSES = ("", "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")


class ConfigError(Exception):
    """Everything that is wrong with the configuration, one line each."""

    def __init__(self, problems):
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Member:
    region: str
    bucket: str | None  # None: derived from name, account and Region
    work_bucket: str | None
    alarms: tuple[str, ...]

    def bucket_of(self, name, account):
        return self.bucket or f"{name}-{account}-{self.region}"

    def work_bucket_of(self, name, account):
        return self.work_bucket or f"{name}-work-{account}-{self.region}"


@dataclass(frozen=True)
class Replication:
    scope: str
    prefix: str
    tag_key: str
    tag_value: str
    delete_markers: bool
    replica_modifications: bool
    time_control: bool
    storage_class: str


@dataclass(frozen=True)
class Further:
    """A destination in another account."""

    bucket: str
    region: str
    account: str
    kms_key_arn: str


@dataclass(frozen=True)
class Watchdog:
    """Where the automation's heartbeat is waited for, and who is told when it stops."""

    region: str
    notification_email: str


@dataclass(frozen=True)
class Config:
    name: str
    account: str | None  # None: whatever the credentials belong to
    control_region: str
    automation_stack: str
    topology: str
    canary_prefix: str
    notification_email: str
    permissions_boundary_arn: str
    members: tuple[Member, ...]  # home first
    replication: Replication
    encryption: str
    bucket_key: bool
    further: Further | None
    watchdog: Watchdog | None
    forwarded_states: tuple[str, ...]
    tags: dict[str, str]

    def others(self, member):
        """The members that `member` replicates to, in the order of the file."""
        return [other for other in self.members if other.region != member.region]

    @property
    def member_stack(self):
        return f"{self.name}-member"

    @property
    def access_point_stack(self):
        return f"{self.name}-access-point"

    @property
    def watchdog_stack(self):
        return f"{self.name}-watchdog"


def load(path):
    """The configuration in a file; ConfigError says all that is wrong with it."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}. Copy data-plane/example.toml and name the copy"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not TOML: {error}"]) from error
    return parse(document)


def parse(document):
    """The configuration in a parsed document."""
    problems = []
    top = _Table(document, "", problems)
    name = top.text("name", NAME, "3 to 30 lower-case letters, digits and hyphens, no hyphen at its ends")
    account = top.text("account", ACCOUNT, "an account id of 12 digits, in quotes", None)
    control_region = top.text("control_region", REGION, "a Region such as us-east-2, best one that is no member's")
    automation_stack = top.text("automation_stack", r"[A-Za-z][A-Za-z0-9-]{0,127}", "a stack name", "mrap-sentinel")
    topology = top.choice("topology", ("active-passive", "active-active"), "active-passive")
    canary_prefix = top.text(
        "canary_prefix", CANARY_PREFIX, "a key prefix without a slash at its ends", ".mrap-sentinel"
    )
    email = top.text("notification_email", EMAIL, "one e-mail address", "")
    boundary = top.text("permissions_boundary_arn", BOUNDARY, "the ARN of an IAM policy", "")
    members = tuple(_member(table) for table in top.tables("member"))
    replication = _replication(top.table("replication"))
    encryption = top.table("encryption")
    kind = encryption.choice("kind", ("sse-s3", "kms"), "sse-s3")
    bucket_key = encryption.flag("bucket_key", True)
    encryption.nothing_else()
    forwarding = top.table("forwarding")
    states = forwarding.texts("states", STATES, "ALARM, OK or INSUFFICIENT_DATA", ("ALARM", "OK"))
    forwarding.nothing_else()
    further = _further(top.table("further_destination"), kind) if "further_destination" in document else None
    watchdog = _watchdog(top.table("watchdog"), control_region, email) if "watchdog" in document else None
    tags = top.table("tags").all_texts()
    top.nothing_else()
    _check_members(members, problems)
    if "bucket_key" in document.get("encryption", {}) and kind != "kms":
        problems.append('encryption.bucket_key is for kind = "kms" only: remove it')
    if not states:
        problems.append("forwarding.states is empty: name at least ALARM, and give members no alarms to forward none")
    if problems:
        raise ConfigError(problems)
    return Config(
        name=name,
        account=account,
        control_region=control_region,
        automation_stack=automation_stack,
        topology=topology,
        canary_prefix=canary_prefix,
        notification_email=email,
        permissions_boundary_arn=boundary,
        members=members,
        replication=replication,
        encryption=kind,
        bucket_key=bucket_key,
        further=further,
        watchdog=watchdog,
        forwarded_states=states,
        tags=tags,
    )


def _member(table):
    member = Member(
        region=table.text("region", REGION, "a Region such as us-east-1"),
        bucket=table.text("bucket", BUCKET, "a bucket name without dots (TLS)", None),
        work_bucket=table.text("work_bucket", BUCKET, "a bucket name without dots (TLS)", None),
        alarms=table.texts("alarms", ALARM, "names of alarms, at most 200 characters, none of them , ? * \" or \\", ()),
    )
    table.nothing_else()
    return member


def _check_members(members, problems):
    if not 2 <= len(members) <= MOST_MEMBERS:
        problems.append(
            f"there are {len(members)} [[member]] tables: an access point that fails over has 2 to {MOST_MEMBERS}"
        )
    for region in sorted({member.region for member in members if re.fullmatch(REGION, member.region)}):
        if region not in MEMBER_REGIONS:
            problems.append(
                f"member Region {region} is none of those that are enabled in every account, and access points and "
                f"events are not sure to work elsewhere. Choose among {', '.join(MEMBER_REGIONS)}"
            )
    for what, values in (
        ("Region", [member.region for member in members]),
        ("bucket", [name for member in members for name in (member.bucket, member.work_bucket) if name]),
    ):
        for value in sorted({value for value in values if value and values.count(value) > 1}):
            problems.append(f"{what} {value} is named twice: every member has its own Region and its own buckets")


def _replication(table):
    scope = table.choice("scope", ("whole", "prefix", "tag"), "whole")
    prefix = table.text("prefix", r".{1,1024}", "the beginning of the keys, at most 1024 characters", "")
    tag = table.table("tag") if "tag" in table.values else None
    tag_key = tag.text("key", r".{1,128}", "1 to 128 characters") if tag else ""
    tag_value = tag.text("value", r".{0,256}", "at most 256 characters", "") if tag else ""
    if tag:
        tag.nothing_else()
    replication = Replication(
        scope=scope,
        prefix=prefix,
        tag_key=tag_key,
        tag_value=tag_value,
        delete_markers=table.flag("delete_markers", scope != "tag"),
        replica_modifications=table.flag("replica_modifications", True),
        time_control=table.flag("time_control", False),
        storage_class=table.choice("storage_class", STORAGE_CLASSES, ""),
    )
    table.nothing_else()
    if scope == "prefix" and not prefix:
        table.problem('scope = "prefix" needs prefix: say which keys are replicated')
    if scope != "prefix" and prefix:
        table.problem(f'prefix is for scope = "prefix" only: remove it or change the scope, which is "{scope}"')
    if scope == "tag" and not tag_key:
        table.problem('scope = "tag" needs tag = { key = "…", value = "…" }')
    if scope != "tag" and tag:
        table.problem(f'tag is for scope = "tag" only: remove it or change the scope, which is "{scope}"')
    if scope == "tag" and replication.delete_markers:
        table.problem(
            "S3 does not replicate delete markers by tag: set delete_markers = false, or choose another scope"
        )
    return replication


def _further(table, kind):
    further = Further(
        bucket=table.text("bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name"),
        region=table.text("region", REGION, "a Region such as us-east-1"),
        account=table.text("account", ACCOUNT, "an account id of 12 digits, in quotes"),
        kms_key_arn=table.text("kms_key_arn", KEY, "the ARN of a key", ""),
    )
    table.nothing_else()
    if kind == "kms" and not further.kms_key_arn:
        table.problem("kms_key_arn is needed with kms members: objects without it would fail to replicate")
    return further


def _watchdog(table, control_region, email):
    watchdog = Watchdog(
        region=table.text("region", REGION, "a Region such as us-west-2"),
        notification_email=table.text("notification_email", EMAIL, "one e-mail address", email),
    )
    table.nothing_else()
    if watchdog.region and watchdog.region == control_region:
        table.problem("region is the control Region, whose loss it is to tell of: choose another one")
    if not watchdog.notification_email:
        table.problem("nobody is told: give notification_email, here or at the top")
    return watchdog


class _Table:
    """A table of the document; it collects what is wrong and what it was not asked for."""

    def __init__(self, values, path, problems):
        self.values = values if isinstance(values, dict) else {}
        self._path = path
        self._problems = problems
        self._known = set()
        if not isinstance(values, dict):
            problems.append(f"{path} must be a table")

    def problem(self, text):
        self._problems.append(f"{self._path}: {text}" if self._path else text)

    _REQUIRED = object()

    def text(self, key, pattern, meaning, default=_REQUIRED):
        value = self._get(key, default)
        if value is self._REQUIRED:
            self._problems.append(f"{self._name(key)} is missing: {meaning}")
        elif value is not default and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            self._problems.append(f"{self._name(key)} = {_shown(value)} is not valid: {meaning}")
        else:
            return value
        return ""

    def texts(self, key, pattern, meaning, default):
        values = self._get(key, default)
        if values is default:
            return default
        if not isinstance(values, list):
            self._problems.append(f"{self._name(key)} = {_shown(values)} is not a list: {meaning}")
            return default
        for value in values:
            if not (isinstance(value, str) and re.fullmatch(pattern, value)):
                self._problems.append(f"{self._name(key)} has {_shown(value)}: {meaning}")
        return tuple(values)

    def choice(self, key, choices, default):
        value = self._get(key, default)
        if value not in choices:
            listed = ", ".join(f'"{choice}"' for choice in choices if choice)
            self._problems.append(f"{self._name(key)} = {_shown(value)} is not one of {listed}")
            return default
        return value

    def flag(self, key, default):
        value = self._get(key, default)
        if not isinstance(value, bool):
            self._problems.append(f"{self._name(key)} = {_shown(value)} is neither true nor false (without quotes)")
            return default
        return value

    def table(self, key):
        return _Table(self._get(key, {}), self._name(key), self._problems)

    def tables(self, key):
        values = self._get(key, [])
        if not isinstance(values, list):
            self._problems.append(f"{key} must be written [[{key}]]")
            values = []
        return [_Table(value, f"{key} {number}", self._problems) for number, value in enumerate(values, 1)]

    def all_texts(self):
        """Every entry, whatever its name."""
        for key, value in self.values.items():
            if not isinstance(value, str) or key.startswith("aws:"):
                self._problems.append(f"{self._name(key)} must be text, and its name may not begin with aws:")
        return {key: str(value) for key, value in self.values.items()}

    def nothing_else(self):
        for key in sorted(self.values.keys() - self._known):
            known = ", ".join(sorted(self._known))
            self._problems.append(f"{self._name(key)} is unknown: there are {known}")

    def _get(self, key, default):
        self._known.add(key)
        return self.values.get(key, default)

    def _name(self, key):
        return f"{self._path}.{key}" if self._path else key


def _shown(value):
    return f'"{value}"' if isinstance(value, str) else str(value)
