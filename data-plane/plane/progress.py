"""What the scripts say while they work, and how they wait."""

import time


class Failed(Exception):
    """Something that a person has to put right; the text says what and how."""


class Progress:
    def __init__(self, dry_run, poll_seconds):
        self.dry_run = dry_run
        self.changes = 0
        self._poll_seconds = poll_seconds

    def step(self, text):
        print(f"\n{text}", flush=True)

    def say(self, text):
        print(f"  {text}", flush=True)

    def change(self, text):
        """Announces a change, counts it, and answers whether to make it."""
        self.changes += 1
        self.say(f"would {text}" if self.dry_run else text)
        return not self.dry_run

    def wait(self, what, seconds, finished):
        """Waits for `finished()` to answer something, at most so long; that is its answer."""
        deadline = time.monotonic() + seconds
        told = False
        while not (answer := finished()):
            if time.monotonic() > deadline:
                raise Failed(
                    f"{what}: not finished after {seconds // 60} minutes. It may still finish by itself: look in the "
                    "console, then run this again, which goes on where it stopped"
                )
            if not told:
                self.say(f"waiting: {what} (at most {seconds // 60} minutes)")
                told = True
            time.sleep(self._poll_seconds)
        return answer
