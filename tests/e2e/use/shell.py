"""An operator's shell, and the pages whose commands are pasted into it."""

import json

import page
import processes

OPERATE = processes.REPOSITORY / "docs" / "operate.md"


class Shell:
    """Begun as docs/operate.md says; `beginning` comes after that."""

    def __init__(self, environment, folder, of=OPERATE, beginning=""):
        self._environment = environment
        self._folder = folder
        self._page = of
        self._beginning = page.blocks(OPERATE, "sh")[0] + beginning
        for output in ("FailoverFunction", "RedriveFunction", "ReadinessCheckFunction"):  # asked once is enough
            command = f"$(output {output})"
            self._beginning = self._beginning.replace(command, self.run(f"printf %s {command}"))

    def run(self, command):
        return page.run([self._beginning, command], self._folder, self._environment)[-1]

    def answer(self, command):
        """The first JSON that it printed."""
        return answers(self.run(command))[0]

    def paste(self, words, **filled_in):
        """Runs the page's one block with placeholders that has these words."""
        [block] = [block for block in page.blocks(self._page, "console") if words in block]
        for placeholder, value in filled_in.items():
            assert placeholder in block
            block = block.replace(placeholder, value)
        return self.answer(block)


def answers(text):
    """The JSON documents in what was printed."""
    decoder, found = json.JSONDecoder(), []
    while (start := text.find("{")) >= 0:
        document, end = decoder.raw_decode(text[start:])
        found.append(document)
        text = text[start + end :]
    return found
