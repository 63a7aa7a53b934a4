"""The commands of docs/existing.md run as written, by an administrator, and leave the members as the page asks."""

import page
import processes
import world

PAGE = processes.REPOSITORY / "docs" / "existing.md"


def test_the_commands_of_the_page_work_as_written(aws, gateway, environment, tmp_path):
    administrator = {**environment, "AWS_ACCESS_KEY_ID": world.ACCOUNT, "AWS_SECRET_ACCESS_KEY": "any"}
    commands = page.blocks(PAGE, "sh")
    printed = page.run(commands, tmp_path, administrator)

    assert printed[0].split() == ["app", aws.alias, "READY"]
    found = [line.split() for line in printed[1].splitlines()]
    assert {owner for _, _, owner in found} == {world.ACCOUNT}
    members = ",".join(f"{bucket}@{region}" for bucket, region, _ in found)
    assert f"MEMBERS={members}\n" in commands[2], "the page takes what it found"
    # MiniStack answers GetBucketRequestPayment with a list of objects: "paid by" cannot be tried.
    looked = next(output for block, output in zip(commands, printed, strict=True) if "for member" in block)
    away = f"=== {world.AWAY}@{world.AWAY_REGION}"
    for word in ("versioning: Enabled", f"arn:aws:s3:::{world.AWAY}", away, "AES256"):
        assert word in looked

    s3 = aws.client("s3", world.HOME_REGION)
    [rule] = s3.get_bucket_replication(Bucket=world.HOME)["ReplicationConfiguration"]["Rules"]
    assert rule["Destination"]["Metrics"]["Status"] == "Enabled"
    assert rule["SourceSelectionCriteria"]["ReplicaModifications"]["Status"] == "Enabled"
    assert [rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=world.HOME)["Rules"]] == [
        "canaries",
        "incomplete-uploads",
    ]
    [topic] = s3.get_bucket_notification_configuration(Bucket=world.HOME)["TopicConfigurations"]
    assert topic["TopicArn"] == f"arn:aws:sns:{world.HOME_REGION}:{world.ACCOUNT}:app-replication-events"
    assert topic["Events"] == ["s3:Replication:*"]
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket="app-work-use1")["Rules"]
    assert (rule["Expiration"]["Days"], rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]) == (30, 1)
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket="app-work-use1")["Policy"]
    assert all(seen.host.endswith(".amazonaws.com") for seen in gateway.requests)

