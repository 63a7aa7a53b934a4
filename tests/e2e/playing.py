"""Steps, what is expected of them, and how they are played against a server."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 10


class Absent:
    """Expected of a member that must not be there."""


@dataclass(frozen=True)
class Ref:
    """A value of an earlier answer: `Ref("put", "VersionId")`, `Ref("list", "Contents", 0, "ETag")`."""

    step: str
    path: tuple

    def __init__(self, step, *path):
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "path", path)

    def within(self, seen):
        value = seen[self.step].output
        for name in self.path:
            value = value[name]
        return value


class Mrap:
    """The ARN of the MRAP, whose alias the server chose."""


@dataclass(frozen=True)
class Expected:
    """What must be in an answer. A member is given by its value or its type; others may be there too."""

    status: int
    code: str | None = None
    output: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)


def ok(status=200, headers=None, **output):
    return Expected(status, None, output, headers or {})


def refused(status, code, **headers):
    return Expected(status, code, {}, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass(frozen=True)
class Step:
    """One call. With `eventually` it is repeated until the answer is as expected, or patience ends."""

    name: str
    service: str
    region: str
    operation: str
    parameters: Mapping[str, Any]
    expected: Expected
    eventually: bool = False


@dataclass(frozen=True)
class Scenario:
    """Steps in order, and the belief about AWS that they check."""

    name: str
    belief: str
    source: str
    steps: tuple[Step, ...]


class Transcript:
    """The answers of one server to a scenario."""

    def __init__(self, scenario, aws):
        self.scenario = scenario
        self._aws = aws
        self._seen = {}

    def __getitem__(self, step):
        return self._seen[step.name]

    def differences(self, step, expected):
        """Where the answer to a step is not as expected, one line each."""
        return differences(resolve(expected, self._seen, self._aws), self[step])

    def ask(self, step, expected):
        """Makes a call; again and again, if it is to be as expected `eventually`."""
        parameters = resolve(step.parameters, self._seen, self._aws)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self._seen[step.name] = self._aws.call(step.service, step.region, step.operation, parameters)
            if not step.eventually or not self.differences(step, expected) or time.monotonic() > deadline:
                return
            time.sleep(0.05)


def play(scenario, aws, deviations):
    """Plays a scenario to its end."""
    transcript = Transcript(scenario, aws)
    for step in scenario.steps:
        transcript.ask(step, deviations.get((scenario.name, step.name), step).expected)
    return transcript


def differences(expected, answer):
    """Where an answer is not as expected, one line each."""
    found = []
    if answer.status != expected.status:
        found.append(f"status {answer.status}, expected {expected.status}")
    if answer.code != expected.code:
        found.append(f"error code {answer.code}, expected {expected.code}")
    for name, value in expected.headers.items():
        found.extend(_compare(f"header {name}", value, answer.headers.get(name, Absent)))
    for name, value in expected.output.items():
        found.extend(_compare(name, value, answer.output.get(name, Absent)))
    return found


def _compare(path, expected, actual):
    if actual is Absent or expected is Absent:
        return [] if actual is expected else [f"{path} is {_text(actual)}, expected {_text(expected)}"]
    if isinstance(expected, type):
        return [] if isinstance(actual, expected) else [f"{path} is {actual!r}, expected {_text(expected)}"]
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return [line for name, value in expected.items() for line in _compare(f"{path}.{name}", value, actual.get(name, Absent))]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [line for i, (e, a) in enumerate(zip(expected, actual, strict=True)) for line in _compare(f"{path}[{i}]", e, a)]
    return [] if actual == expected else [f"{path} is {actual!r}, expected {expected!r}"]


def _text(value):
    if value is Absent:
        return "absent"
    return value.__name__ if isinstance(value, type) else repr(value)


def resolve(value, seen, aws):
    """`value` with every reference replaced by what it refers to."""
    if isinstance(value, Ref):
        return value.within(seen)
    if value is Mrap:
        return aws.mrap_arn
    if isinstance(value, Mapping):
        return {name: resolve(item, seen, aws) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, seen, aws) for item in value]
    if isinstance(value, Expected):
        output, headers = resolve(value.output, seen, aws), resolve(value.headers, seen, aws)
        return Expected(value.status, value.code, output, headers)
    return value


def members(output):
    """The paths of all members in an output: `Contents[].Key`."""
    found = set()

    def walk(path, value):
        if isinstance(value, Mapping):
            for name, item in value.items():
                walk(f"{path}.{name}" if path else name, item)
        elif isinstance(value, list):
            found.update({f"{path}[]"} if not value else ())
            for item in value:
                walk(f"{path}[]", item)
        else:
            found.add(path)

    walk("", output)
    return found
