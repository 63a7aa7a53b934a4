"""The commands of docs/redrive.md run as written, against the real functions deployed from template.yaml."""

import json
import time

import page
import processes
import world
from shell import OPERATE, Shell, answers

PAGE = processes.REPOSITORY / "docs" / "redrive.md"


def test_the_commands_of_the_page_work_as_written(operator, tmp_path):
    beginning = page.blocks(OPERATE, "sh")[0]
    commands = page.blocks(PAGE, "sh")
    printed = page.run([beginning, *commands], tmp_path, operator)[1:]
    said = [answer for text in printed for answer in answers(text) if "explanation" in answer]
    assert [answer["outcome"] for answer in said] == ["status", "status", "held", "released"]
    assert said[0]["groups"] == said[1]["groups"] == []
    [versions] = [text for block, text in zip(commands, printed, strict=True) if "list-object-versions" in block]
    assert len(json.loads(versions)[0]) >= 2, "hold and release were recorded"


def test_a_group_by_the_page(cloud, operator, tmp_path):
    """A failure from the queue; that jobs follow is tried in `deployment`, where there are such."""
    shell = _shell(operator, tmp_path)
    group = _fail(cloud, shell)
    assert shell.paste('"retry"', **{"<id>": group})["outcome"] == "retrying"
    offer = shell.paste('"statuses":["NONE"]', **{"<bucket>": world.HOME})
    assert offer["outcome"] == "needs-confirmation"
    confirmed = {"<bucket>": world.HOME, "<of the first answer>": offer["estimate"]["confirm"]}
    begun = shell.run(_filled_in(confirmed))
    outcomes = [answer["outcome"] for answer in answers(begun) if "outcome" in answer]
    assert outcomes == ["needs-confirmation", "sweeping"], begun


def _filled_in(placeholders):
    """The page's block of a sweep: the offer, and its confirmation."""
    [block] = [block for block in page.blocks(PAGE, "console") if '"confirm"' in block]
    for placeholder, value in placeholders.items():
        block = block.replace(placeholder, value)
    return block


def _shell(operator, folder):
    [beginning] = [block for block in page.blocks(PAGE, "sh") if "redrive()" in block]
    return Shell(operator, folder, PAGE, beginning)


def _fail(cloud, shell):
    """An event of S3 in the queue, and the id of the group that redrive makes of it."""
    record = {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": world.HOME_REGION,
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "eventName": "Replication:OperationFailedReplication",
        "s3": {"bucket": {"name": world.HOME}, "object": {"key": "orders/1", "versionId": "v1", "size": 1}},
        "replicationEventData": {
            "replicationRuleId": "all",
            "destinationBucket": f"arn:aws:s3:::{world.AWAY}",
            "s3Operation": "OBJECT_PUT",
            "requestTime": "2026-11-20T21:03:59.168Z",
            "failureReason": "DstBucketUnversioned",
        },
    }
    sqs = cloud.client("sqs", world.CONTROL_REGION)
    queue = next(url for url in sqs.list_queues()["QueueUrls"] if "ReplicationEventsQueue" in url)
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
    for _ in range(60):
        shell.run("redrive '{\"command\":\"tick\"}'")
        if groups := shell.answer("redrive '{\"command\":\"redrive-status\"}'")["groups"]:
            return groups[0]["group"]
        time.sleep(0.5)
    raise AssertionError("no group")
