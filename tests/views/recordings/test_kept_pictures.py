"""Pictures of a file that is damaged, or forged."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.events import Confusion, Example, Examples
from trackside.views.recordings.kept_pictures import parse_pictures

PLACE = {"name": "a", "epoch": 0, "step": 1, "ns": 2}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">2I", 4, 4)


def image(content):
    return {"png": base64.b64encode(content).decode()}


def parsed(**content):
    return [one.picture for one in parse_pictures(json.dumps([{**PLACE, **content}]).encode())]


def test_whole_ones_are_read():
    assert parsed(examples=[["a", image(PNG), "", None, 1]]) == [
        Examples((Example("a", PNG, "", None, 1.0),))
    ]
    assert parsed(classes=["x"], counts=[[3]]) == [Confusion(("x",), ((3,),))]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": 3, "examples": []},
        {"step": 2**70, "examples": []},
        {"examples": 4},
        {"examples": [["a", "b", "c"]]},
        {"examples": [["a", "b", "c", "yes", None]]},
        {"examples": [["a", "b", "c", True, "0.5"]]},
        {"examples": [[image(b"<svg onload='x'>" + bytes(8)), "b", "c", True, None]]},
        {"examples": [[{"png": "no base64!"}, "b", "c", True, None]]},
        {"examples": [[image(PNG[:14]), "b", "c", True, None]]},
        {"examples": [[image(PNG[:-4] + struct.pack(">I", 5000)), "b", "c", True, None]]},
        {"examples": [["a", "b", "c", True, 10**400]]},
        {"classes": ["x", "y"], "counts": [[1, 2]]},
        {"classes": ["x"], "counts": [[-1]]},
        {"classes": ["x"], "counts": [["<b>"]]},
        {"classes": [3], "counts": [[1]]},
        {"classes": ["x"] * 201, "counts": [[0] * 201] * 201},
    ],
)
def test_a_damaged_one_is_left_out_and_the_others_are_read(content):
    whole = {**PLACE, "classes": ["x"], "counts": [[1]]}
    found = parse_pictures(json.dumps([{**PLACE, **content}, whole]).encode())
    assert [one.picture for one in found] == [Confusion(("x",), ((1,),))]


def test_texts_are_printable_and_keep_their_lines():
    [picture] = parsed(examples=[["a\n\x1b[31mb", "c", "d" * 900, True, None]])
    assert picture.examples[0].input == "a\n�[31mb"
    assert len(picture.examples[0].target) == 500


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_text_gives_pictures_or_nothing(text):
    assert isinstance(parse_pictures(text), list)
