"""The data plane that the automation watches: made by `data-plane/deploy`, as its users do."""

import json
import re
import shlex

import processes
from cloud import ACCOUNT, CONTROL_REGION

NAME = "app"


class Plane:
    """Buckets in these Regions, home first, replicating to each other, and the access point over them.

    With safeguards a key in each Region encrypts them, and every role has the boundary. The alarms are home's.
    """

    def __init__(self, cloud, regions, safeguards=None, alarms=()):
        self._cloud = cloud
        self._safeguards = safeguards
        self.regions = regions
        self.home = regions[0]
        self._config = cloud.folder / "data-plane.toml"
        members = [f'[[member]]\nregion = "{region}"' for region in regions]
        members[0] += f"\nalarms = {json.dumps([*alarms])}"
        lines = [f'name = "{NAME}"', f'control_region = "{CONTROL_REGION}"', *members]
        if safeguards:
            lines[2:2] = [f'permissions_boundary_arn = "{safeguards.boundary_arn}"']
            lines += ['[encryption]\nkind = "kms"']
        self._config.write_text("\n".join(lines))
        self.command, self.parameters = None, {}

    def deploy(self):
        """Runs the script; again once the automation is there, which it then wires up. Ends with a command for SAM."""
        said = self._cloud.run([processes.REPOSITORY / "data-plane" / "deploy", self._config]).stdout
        [self.command] = re.findall(r"^sam deploy (?:.*\\\n)*.*$", said, re.MULTILINE)
        words = shlex.split(self.command.replace("\\\n", ""))
        self.parameters = dict(word.split("=", 1) for word in words[words.index("--parameter-overrides") + 1 :])
        if self._safeguards:
            for region in self.regions:
                self._safeguards.bind_roles(f"{NAME}-member", region)
        return said

    @property
    def mrap_arn(self):
        return self.parameters["MrapArn"]

    @property
    def alias(self):
        return self.mrap_arn.rpartition("/")[2]

    def bucket(self, region):
        return f"{NAME}-{ACCOUNT}-{region}"

    @property
    def dials_at_home(self):
        return {region: 100 if region == self.home else 0 for region in self.regions}
