"""The templates beside this package, with their marked blocks repeated for as many members as there are.

CloudFormation's own loop makes whole resources, but no list items, and a replication rule is one.
"""

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
MOST_BYTES = 51_200  # of a template that is sent with the call; a larger one must be fetched from a bucket

_BEGIN = re.compile(r"\s*#% for each ([A-Za-z]+)(\d+)\s*$")
_END = re.compile(r"\s*#% end\s*$")
_COUNT = re.compile(r"\s*#% count\s*$")
_COMMENT = re.compile(r"\s*#")


def member(destinations):
    """member.yaml towards so many other members."""
    return render("member.yaml", {"Destination": destinations})


def access_point(members):
    """access-point.yaml over so many members."""
    return render("access-point.yaml", {"Member": members})


def watchdog():
    """watchdog.yaml, which has no blocks."""
    return render("watchdog.yaml", {})


def write(members, folder):
    """Writes both templates for so many members into a folder; answers with an exit code."""
    folder, written = Path(folder), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("member", member(members - 1)), ("access-point", access_point(members))):
            file = folder / f"{name}-of-{members}.yaml"
            file.write_text(text, encoding="ascii")
            written.append(file)
    except OSError as error:
        print(f"{folder}: {error.strerror}. Remedy: name a folder that can be written", file=sys.stderr)
        return 1
    print(*written, sep="\n")
    return 0


def render(file, last):
    """A template's text; `last` has the highest number of each repeated name.

    Comments stay with the file: CloudFormation would count them.
    """
    lines, block = [], None
    for line in (FOLDER / file).read_text(encoding="ascii").splitlines():
        if begin := _BEGIN.match(line):
            block, name, first = [], begin[1], int(begin[2])
        elif _END.match(line):
            for number in range(first, last[name] + 1):
                lines += [_numbered(each, name, first, number) for each in block]
            block = None
        elif block is not None:
            block.append(line)
        else:
            lines.append(line)
    return "\n".join(line for line in lines if line.strip() and not _COMMENT.match(line)) + "\n"


def _numbered(line, name, first, number):
    if counted := _COUNT.search(line):
        line = re.sub(r"\d+", lambda found: str(int(found[0]) + number - first), line[: counted.start()], count=1)
    line = re.sub(rf"{name}{first}(?!\d)", f"{name}{number}", line)
    return line.replace(f"({first})", f"({number})")
