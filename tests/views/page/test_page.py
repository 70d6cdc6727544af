import base64
import hashlib
import re
from importlib.resources import files

import pytest

from trackside.views.page.page import COMPARE, WATCH, as_json

PARTS = sorted(files("trackside.views.page").joinpath("assets").iterdir())
each_page = pytest.mark.parametrize("page", [WATCH, COMPARE], ids=["watch", "compare"])


def inline(html, tag):
    """The text of the elements that the browser runs or applies."""
    return re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", html, re.DOTALL)


@each_page
@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_allows_the_script_and_the_style_of_the_page_and_no_others(tag, page):
    (text,) = inline(page.html(), tag)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"{tag}-src 'sha256-{digest}';" in page.policy
    assert page.policy.startswith("default-src 'none';")


@each_page
def test_the_page_names_nothing_from_elsewhere(page):
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", page.html()))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", page.html()) == []


@each_page
def test_there_is_no_script_or_style_in_attributes(page):
    assert re.findall(r"<[^>]+\s(?:on\w+|style)=", re.sub(r"<script.*", "", page.html())) == []


def test_what_is_carried_cannot_end_its_element():
    html = WATCH.html("</title><script>", {"recordings": as_json({"name": "</script><script>"})})
    assert html.count("<script>") == 0
    assert html.count("</script>") == 2


def test_what_is_carried_is_put_in_once_and_not_looked_at_again():
    html = WATCH.html("t", {"recordings": as_json(["<!--script-->", "/*=style=*/"])})
    assert '"\\u003c!--script-->","/*=style=*/"' in html


@pytest.mark.parametrize(
    "sink", ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "write("]
)
@each_page
def test_nothing_reads_markup_from_text(sink, page):
    (script,) = inline(page.html(), "script")
    assert sink not in script


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_of_a_page_is_small_and_used(part):
    text = part.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= (200 if part.suffix == ".html" else 100)
    assert part.suffix == ".html" or any(text in page.html() for page in (WATCH, COMPARE))
