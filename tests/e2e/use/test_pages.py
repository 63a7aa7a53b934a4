"""What can be said of every page: its links lead somewhere, its JSON is JSON."""

import json
import re

import pytest

import page
import processes

PAGES = [processes.REPOSITORY / "README.md", *sorted((processes.REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("of", PAGES, ids=lambda of: of.name)
def test_links_lead_somewhere(of):
    text = re.sub(r"```.*?```", "", of.read_text(), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (of.parent / path).resolve() if path else of
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("of", PAGES, ids=lambda of: of.name)
def test_json_is_json(of):
    for block in page.blocks(of, "json"):
        json.loads(block)


def _anchors(of):
    """Those that GitHub makes of the headings."""
    text = re.sub(r"```.*?```", "", of.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
