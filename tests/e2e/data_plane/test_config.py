"""The configuration: what is accepted, and that every complaint says what to do."""

import tomllib

import pytest
from planes import TWO_MEMBERS

_TWO = TWO_MEMBERS.partition("[[member]]")
_FURTHER = '[further_destination]\nbucket = "away"\nregion = "eu-west-1"\naccount = "444455556666"\n'
_TOP, _MEMBERS = _TWO[0], _TWO[1] + _TWO[2]


def _parse(text):
    from plane import config

    return config.parse(tomllib.loads(text))


def _problems(text):
    from plane import config

    with pytest.raises(config.ConfigError) as caught:
        _parse(text)
    return caught.value.problems


def test_defaults():
    config = _parse(TWO_MEMBERS)
    assert (config.topology, config.automation_stack) == ("active-passive", "mrap-sentinel")
    assert (config.canary_prefix, config.encryption, config.further) == (".mrap-sentinel", "sse-s3", None)
    assert (config.replication.scope, config.replication.delete_markers) == ("whole", True)
    home, away = config.members
    assert home.bucket_of("app", "1" * 12) == "app-111111111111-us-east-1"
    assert away.work_bucket_of("app", "1" * 12) == "app-work-111111111111-eu-west-1"
    assert config.others(home) == [away]


def test_names_derived_from_the_longest_name_and_region_are_bucket_and_role_names():
    config = _parse(TWO_MEMBERS.replace('"app"', f'"{"a" * 30}"').replace("eu-west-1", "ap-southeast-2"))
    away = config.members[1]
    assert len(away.work_bucket_of(config.name, "1" * 12)) == 63
    assert len(f"{config.name}-replication-{away.region}") <= 64


def test_example_is_valid_as_it_is_and_with_every_comment_removed():
    from plane import templates

    text = (templates.FOLDER / "example.toml").read_text()
    config = _parse(text)
    assert [member.region for member in config.members] == ["us-east-1", "eu-west-1"]
    switched_on = []
    for line in text.splitlines():
        shown = line.removeprefix("# ")
        switched_on.append(shown if shown.startswith("[") or " = " in shown else line)
    switched_on = "\n".join(switched_on).replace("key/…", "key/abc")
    # Two of its lines exclude others, as their comments say.
    for line in ('prefix = "orders/"', 'tag = { key = "replicate", value = "yes" }'):
        switched_on = switched_on.replace(line, "", 1)
    switched_on = switched_on.replace('kind = "sse-s3"', 'kind = "kms"')
    config = _parse(switched_on)
    assert config.members[0].alarms == ("app-5xx",)
    assert config.further.account == "444455556666" and config.encryption == "kms"
    assert config.tags == {"team": "storage"}
    assert config.watchdog.region == "us-west-2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_MEMBERS, "name is missing: 3 to 30"),
        (TWO_MEMBERS.replace('"app"', '"App"'), 'name = "App" is not valid'),
        (TWO_MEMBERS.replace('"app"', f'"{"a" * 31}"'), "is not valid: 3 to 30"),
        (TWO_MEMBERS.replace('"us-east-2"', '"Ohio"'), 'control_region = "Ohio" is not valid: a Region'),
        (_TOP + 'account = "4444"\n' + _MEMBERS, 'account = "4444" is not valid: an account id of 12 digits'),
        (_TOP + 'notification_email = "me"\n' + _MEMBERS, 'notification_email = "me" is not valid: one e-mail'),
        (_TOP + 'topology = "both"\n' + _MEMBERS, 'topology = "both" is not one of "active-passive", "active-active"'),
        (_TOP + 'canary_prefix = "a/"\n' + _MEMBERS, "without a slash at its ends"),
        (_TOP + 'region = "x"\n' + _MEMBERS, "region is unknown: there are account, automation_stack, "),
        (_TOP + 'member = "x"\n', "member must be written [[member]]"),
        (_TOP + '[[member]]\nregion = "us-east-1"\n', "there are 1 [[member]] tables"),
        (TWO_MEMBERS.replace("eu-west-1", "us-east-1"), "Region us-east-1 is named twice"),
        (TWO_MEMBERS.replace("eu-west-1", "eu-south-2"), "member Region eu-south-2 is none of those that are enabled"),
        (TWO_MEMBERS.replace("eu-west-1", "eu-east-1"), "Choose among us-east-1, us-east-2, "),
        (TWO_MEMBERS.replace('-1"\n', '-1"\nbucket = "same"\n'), "bucket same is named twice"),
        (TWO_MEMBERS + 'bucket = "dots.in.it"\n', 'member 2.bucket = "dots.in.it" is not valid'),
        (TWO_MEMBERS + 'alarms = "one"\n', "member 2.alarms = \"one\" is not a list"),
        (TWO_MEMBERS + 'alarms = ["a,b"]\n', "none of them , ? *"),
        (TWO_MEMBERS + 'alarms = ["checkout-*"]\n', 'member 2.alarms has "checkout-*"'),
        (TWO_MEMBERS + '[replication]\nscope = "tag"\n', 'needs tag = { key = "…", value = "…" }'),
        (
            TWO_MEMBERS + '[replication]\nscope = "tag"\ndelete_markers = true\ntag = { key = "a", value = "b" }\n',
            "S3 does not replicate delete markers by tag: set delete_markers = false",
        ),
        (TWO_MEMBERS + '[replication]\ntag = { key = "a" }\n', 'tag is for scope = "tag" only'),
        (TWO_MEMBERS + '[replication]\nscope = "prefix"\n', 'scope = "prefix" needs prefix'),
        (TWO_MEMBERS + '[replication]\nprefix = "a"\n', 'prefix is for scope = "prefix" only'),
        (TWO_MEMBERS + '[replication]\nstorage_class = "TAPE"\n', "replication.storage_class"),
        (TWO_MEMBERS + '[replication]\ntime_control = "yes"\n', "neither true nor false (without quotes)"),
        (TWO_MEMBERS + '[encryption]\nkind = "aes"\n', 'encryption.kind = "aes" is not one of "sse-s3", "kms"'),
        (TWO_MEMBERS + "[encryption]\nbucket_key = false\n", 'is for kind = "kms" only'),
        (TWO_MEMBERS + "[forwarding]\nstates = []\n", "forwarding.states is empty"),
        (TWO_MEMBERS + '[forwarding]\nstates = ["ALERT"]\n', 'has "ALERT": ALARM, OK or INSUFFICIENT_DATA'),
        (TWO_MEMBERS + "[further_destination]\n", "further_destination.bucket is missing"),
        (
            TWO_MEMBERS + _FURTHER.replace("444455556666", "4444"),
            'further_destination.account = "4444" is not valid: an account id of 12 digits, in quotes',
        ),
        (
            TWO_MEMBERS + '[encryption]\nkind = "kms"\n' + _FURTHER,
            "further_destination: kms_key_arn is needed with kms members",
        ),
        (
            TWO_MEMBERS + '[watchdog]\nregion = "us-east-2"\nnotification_email = "a@example.com"\n',
            "watchdog: region is the control Region",
        ),
        (TWO_MEMBERS + '[watchdog]\nregion = "us-west-2"\n', "watchdog: nobody is told: give notification_email"),
        (TWO_MEMBERS + "[watchdog]\n", "watchdog.region is missing"),
        (TWO_MEMBERS + "[tags]\nnumber = 1\n", "tags.number must be text"),
        (TWO_MEMBERS + '[tags]\n"aws:x" = "1"\n', "may not begin with aws:"),
    ],
)
def test_complaints(text, told):
    problems = _problems(text)
    assert any(told in problem for problem in problems), problems


def test_all_problems_are_told_at_once():
    assert len(_problems('name = "X"\ncontrol_region = "Y"\ncolour = "red"\n')) == 4


@pytest.mark.parametrize("script", ["deploy", "tear_down"])
def test_scripts_end_with_2_before_any_call(build, script):
    plane = build('name = "app"\n')
    told = getattr(plane, script)(status=2)
    assert told.count("configuration: ") == 2
    plane.configure("name =")
    assert "is not TOML" in getattr(plane, script)(status=2)
    assert "unrecognized arguments: --unknown" in getattr(plane, script)("--unknown", status=2)


def test_credentials_of_another_account_are_refused_before_any_change(build):
    plane = build('account = "444455556666"' + TWO_MEMBERS)
    for told in (plane.deploy("--dry-run", status=1), plane.deploy(status=1)):
        assert f"belong to account {plane.account}, the configuration is for 444455556666" in told
    assert plane.left_over(("us-east-1", "eu-west-1")) == []
    plane.configure(f'account = "{plane.account}"' + TWO_MEMBERS)
    plane.deploy()
    plane.configure('account = "444455556666"' + TWO_MEMBERS)
    assert "the configuration is for 444455556666" in plane.tear_down("--yes-delete-data", status=1)
    plane.configure(TWO_MEMBERS)
    assert "nothing had to be changed" in plane.deploy()


def test_templates_are_written_without_any_call(build, tmp_path, monkeypatch):
    plane = build(TWO_MEMBERS)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # nothing listens there
    told = plane.deploy("--write-templates", str(tmp_path / "out"))
    written = sorted((tmp_path / "out").iterdir())
    assert told.split() == [str(file) for file in reversed(written)]
    assert [file.name for file in written] == ["access-point-of-2.yaml", "member-of-2.yaml"]
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert "Remedy" in plane.deploy("--write-templates", str(in_the_way), status=1)
