"""Every page of the documentation: its Python runs and prints what is shown, its links lead on.

The README runs in tests/test_packages.py, with the installed wheel.
"""

import gc
import re
from urllib.parse import urlsplit

import pytest
from test_readme import DOCUMENTS, ROOT, blocks, python_of

PAGES = [path for path in DOCUMENTS if path.parent != ROOT]
RUN = [p for p in DOCUMENTS if p.name != "README.md" and blocks(p, "python")]
HOSTS = {
    "blogs.scalablelogic.com",
    "jsonargparse.readthedocs.io",
    "keepachangelog.com",
    "kentino.com",
    "semver.org",
    "ui.perfetto.dev",
}
"""Where external links lead; `make links` asks whether each is there."""
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
BLOCK = r"((?:(?!```)[^\n]*\n)*)```"
OUTPUT = re.compile(rf"^```python\n{BLOCK}\n\n```text\n{BLOCK}", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def anchors(page):
    """The names by which a link reaches a heading of the page, as GitHub and MyST make them."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown_by(page):
    """The lines of the text blocks that follow Python, each up to its first "…"."""
    for _, output in OUTPUT.findall(page.read_text(encoding="utf-8")):
        yield from filter(None, (line.split("…")[0].strip() for line in output.splitlines()))


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_its_python_runs_and_prints_what_the_page_shows(page, elsewhere, capsys):
    code = compile(python_of(page), str(page), "exec")
    exec(code, {"__name__": page.stem})
    printed = capsys.readouterr().out.replace(f"{elsewhere}/", "")
    at = 0
    for line in shown_by(page):
        assert line in printed[at:], f"not printed, or in another order: {line}"
        at = printed.index(line, at) + len(line)
    gc.collect()  # a function keeps its place while another trainer that subscribed it lives


def test_external_links_are_complete_and_lead_to_known_hosts():
    links = {
        link
        for page in [*DOCUMENTS, ROOT / "CHANGELOG.md"]
        for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))
        if ":" in link
    }
    addresses = [urlsplit(link) for link in links]
    assert {address.scheme for address in addresses} <= {"http", "https"}
    assert {address.hostname for address in addresses} <= HOSTS


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_its_links_lead_to_a_file_and_a_heading(page):
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_list_of_tasks_has_every_page():
    tasks = ROOT / "docs/how-to"
    linked = {link.partition("#")[0] for link in LINK.findall((tasks / "index.md").read_text())}
    assert {page.name for page in tasks.glob("*.md")} - {"index.md"} == linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_it_is_in_a_folder_of_the_site(page):
    folders = {index.parent for index in ROOT.glob("docs/**/index.md")}
    assert page.parent in folders
    assert page.name == "index.md" or page.parent != ROOT / "docs", "move it to docs/how-to"
