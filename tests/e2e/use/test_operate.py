"""The commands of docs/operate.md run as written, against the real functions deployed from template.yaml."""

import json

import page
import world
from shell import OPERATE, Shell, answers


def test_the_commands_of_the_page_work_as_written(cloud, operator, tmp_path):
    commands = [block.replace("mfzwi23gnjvgw.mrap", cloud.alias) for block in page.blocks(OPERATE, "sh")]
    printed = page.run(commands, tmp_path, operator)

    said = [answer for text in printed for answer in answers(text)]
    outcomes = [answer["outcome"] for answer in said if "outcome" in answer]
    assert outcomes == ["status", "held", "released", "blocked", "no-change"]
    assert next(answer for answer in said if "blocking" in answer)["blocking"] == ["target-not-drifted"]
    [routes] = [answer["Routes"] for answer in said if "Routes" in answer]
    assert {route["Bucket"]: route["TrafficDialPercentage"] for route in routes} == {world.HOME: 0, world.AWAY: 100}
    [versions] = [text for block, text in zip(commands, printed, strict=True) if "list-versions" in block]
    assert versions.split("\n")[1].startswith("1\t")
    # MiniStack has no StartMessageMoveTask: that the ARN is found is all that can be tried.
    [dead] = [text for block, text in zip(commands, printed, strict=True) if "echo \"$dead_letters\"" in block]
    assert dead.startswith(f"arn:aws:sqs:{world.CONTROL_REGION}:{world.ACCOUNT}:")
    [states] = [text for block, text in zip(commands, printed, strict=True) if "list-object-versions" in block]
    assert len(json.loads(states)[0]) >= 2, "hold and release were recorded"


def test_an_episode_by_the_page(cloud, operator, tmp_path):
    control = cloud.client("s3control", "us-east-1")
    home = [{"Bucket": world.HOME, "TrafficDialPercentage": 100}, {"Bucket": world.AWAY, "TrafficDialPercentage": 0}]
    control.submit_multi_region_access_point_routes(AccountId=world.ACCOUNT, Mrap=cloud.mrap_arn, RouteUpdates=home)
    shell = Shell(operator, tmp_path)

    # Nobody has looked here whether a failover would work.
    untold = {'12 December"': '12 December","override":["target-not-drifted"]'}
    moved = shell.paste('"failover","from"', **untold)
    assert moved["outcome"] == "switched-over" and moved["to"] == [world.AWAY_REGION]
    blocking = {"drained", "evidence-agrees", "target-not-drifted"}
    assert set(shell.paste('"failback"')["blocking"]) == blocking, "home was not good for long"
    ids = {"2026-11-20T16:59:03Z-us-east-1": moved["incident"]}
    assert shell.paste('"acknowledge"', **ids)["outcome"] == "acknowledged"
    assert shell.paste('"breakGlass"')["outcome"] == "no-change", "it is there already"
    assert shell.paste('"approve"', **{"<id>": "0123"})["errorMessage"].endswith("a decision can be approved for 900 s")
    assert shell.paste("update-alias", **{"<number>": "1"})["FunctionVersion"] == "1"


def test_dead_letters_by_the_page(cloud, operator, tmp_path):
    shell = Shell(operator, tmp_path)
    sqs = cloud.client("sqs", world.CONTROL_REGION)
    queue = shell.run("output FailoverDeadLetterQueueUrl").strip()
    record = {"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {"command": "tick"}}
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(record))

    [received] = [block for block in page.blocks(OPERATE, "sh") if "FailoverDeadLetterQueueUrl" in block]
    [message] = json.loads(shell.run(received))["Messages"]
    (tmp_path / "event.json").write_text(json.dumps(json.loads(message["Body"])["requestPayload"]))
    again = shell.paste("file://event.json", **{"<handle>": message["ReceiptHandle"]})
    assert again["outcome"] == "no-change"
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == left["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_lost_state_by_the_page(cloud, operator, tmp_path):
    shell = Shell(operator, tmp_path)
    s3 = cloud.client("s3", world.CONTROL_REGION)
    bucket = shell.run("output StateBucketName").strip()
    [restore] = [block for block in page.blocks(OPERATE, "console") if "copy-object" in block]
    copy, repair = restore.split("sentinel", 1)

    good = s3.head_object(Bucket=bucket, Key="state.json")["VersionId"]
    s3.put_object(Bucket=bucket, Key="state.json", Body=b"{")
    assert "errorMessage" in shell.answer("sentinel '{\"command\":\"status\"}'")
    shell.run(copy.replace("<good>", good))
    assert shell.answer("sentinel '{\"command\":\"status\"}'")["outcome"] == "status"

    s3.delete_object(Bucket=bucket, Key="state.json")
    assert "the state was deleted" in shell.answer("sentinel '{\"command\":\"status\"}'")["errorMessage"]
    assert shell.answer(f"sentinel{repair}")["outcome"] == "held"
    assert shell.answer("sentinel '{\"command\":\"status\"}'")["hold"]["reason"].startswith("state repaired")
