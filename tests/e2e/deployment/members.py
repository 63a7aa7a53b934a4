"""The data plane that the automation watches: made by `data-plane/deploy`, as its users do."""

import re
import shlex
from pathlib import Path

import processes
from cloud import ACCOUNT, CONTROL_REGION

NAME = "app"


class Plane:
    """Buckets in these Regions, home first, replicating to each other, and the access point over them."""

    def __init__(self, cloud, regions):
        self._cloud = cloud
        self.regions = regions
        self.home = regions[0]
        self._config = Path(cloud.folder) / "data-plane.toml"
        self._config.write_text(
            f'name = "{NAME}"\ncontrol_region = "{CONTROL_REGION}"\n'
            + "".join(f'[[member]]\nregion = "{region}"\n' for region in regions)
        )
        self.command, self.parameters = None, {}

    def deploy(self):
        """Runs the script; again once the automation is there, which it then wires up. Ends with a command for SAM."""
        said = self._cloud.run([processes.REPOSITORY / "data-plane" / "deploy", self._config]).stdout
        [self.command] = re.findall(r"^sam deploy (?:.*\\\n)*.*$", said, re.MULTILINE)
        words = shlex.split(self.command.replace("\\\n", ""))
        self.parameters = dict(word.split("=", 1) for word in words[words.index("--parameter-overrides") + 1 :])
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
