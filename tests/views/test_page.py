import base64
import hashlib
import re

import pytest
from trackside.views.page import as_json, page, policy


def inline(html, tag):
    """The text of the elements that the browser runs or applies."""
    return re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", html, re.DOTALL)


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_allows_the_script_and_the_style_of_the_page_and_no_others(tag):
    (text,) = inline(page(), tag)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"{tag}-src 'sha256-{digest}';" in policy()
    assert policy().startswith("default-src 'none';")


def test_the_page_names_nothing_from_elsewhere():
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", page()))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"(?:src|href)=\"(?!data:|#)", page()) == []


def test_there_is_no_script_or_style_in_attributes():
    assert re.findall(r"<[^>]+\s(?:on\w+|style)=", re.sub(r"<script.*", "", page())) == []


def test_what_is_carried_cannot_end_its_element():
    html = page("</title><script>", {"recordings": as_json({"name": "</script><script>"})})
    assert html.count("<script>") == 0
    assert html.count("</script>") == 2


def test_what_is_carried_is_put_in_once_and_not_looked_at_again():
    html = page("t", {"recordings": as_json(["<!--script-->", "/*=style=*/"])})
    assert '"\\u003c!--script-->","/*=style=*/"' in html


@pytest.mark.parametrize(
    "sink", ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "write("]
)
def test_nothing_reads_markup_from_text(sink):
    (script,) = inline(page(), "script")
    assert sink not in script
