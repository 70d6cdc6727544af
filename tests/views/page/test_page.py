import base64
import hashlib
import re
from importlib.resources import files

import pytest

from trackside.views.page.page import COMPARE, WATCH, as_json

PARTS = sorted(files("trackside.views.page").joinpath("assets").glob("*/*"))
SINKS = ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "write("]
each_page = pytest.mark.parametrize("page", [WATCH, COMPARE], ids=["watch", "compare"])


def inline(html, tag):
    """The text of the elements that the browser runs or applies."""
    return re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", html, re.DOTALL)


@each_page
def test_policy_allows_only_the_script_and_the_style_of_the_page(page):
    for tag in ("script", "style"):
        (text,) = inline(page.html(), tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in page.policy
    assert page.policy.startswith("default-src 'none';")


@each_page
def test_page_refers_to_no_other_file_or_host(page):
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", page.html()))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", page.html()) == []


@each_page
def test_attributes_contain_no_script_or_style(page):
    assert re.findall(r"<[^>]+\s(?:on\w+|style)=", re.sub(r"<script.*", "", page.html())) == []


@each_page
def test_script_never_parses_text_as_html_or_code(page):
    (script,) = inline(page.html(), "script")
    assert [sink for sink in SINKS if sink in script] == []


def test_embedded_data_cannot_close_its_element():
    html = WATCH.html("</title><script>", {"recordings": as_json({"name": "</script><script>"})})
    assert html.count("<script>") == 0
    assert html.count("</script>") == 2


def test_placeholders_in_embedded_data_are_not_replaced():
    html = WATCH.html("t", {"recordings": as_json(["<!--script-->", "/*=style=*/"])})
    assert '"\\u003c!--script-->","/*=style=*/"' in html


def test_each_part_of_the_pages_is_short():
    for part in PARTS:
        lines = part.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, part
        assert max(map(len, lines)) <= (200 if part.suffix == ".html" else 100), part


def test_each_part_is_used_by_a_page():
    pages = [page.html() for page in (WATCH, COMPARE)]
    texts = {part.name: part.read_text("utf-8") for part in PARTS if part.suffix != ".html"}
    assert len(texts) > 30
    assert [name for name, text in texts.items() if not any(text in page for page in pages)] == []
