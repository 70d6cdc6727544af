"""Every page of the documentation: its Python runs, its links lead somewhere, it is in the site."""

import builtins
import gc
import re

import pytest
from test_readme import DOCUMENTS, ROOT, blocks, python_of

PAGES = [path for path in DOCUMENTS if path.parent != ROOT]
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
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


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_its_python_runs_from_top_to_bottom(page, elsewhere):
    code = compile(python_of(page), str(page), "exec")
    exec(code, {"__name__": page.stem, "__builtins__": builtins})
    gc.collect()


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_its_links_lead_to_a_file_and_a_heading(page):
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_it_is_in_a_folder_of_the_site(page):
    folders = {index.parent for index in ROOT.glob("docs/**/index.md")}
    assert page.parent in folders
    assert page.name == "index.md" or page.parent != ROOT / "docs", "move it to docs/how-to"
