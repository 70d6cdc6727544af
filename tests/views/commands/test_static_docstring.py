import sys

import pytest

from trackside.views.commands.static_docstring import summary

FILES = {
    "unseen/__init__.py": "raise SystemExit('imported')\nfrom .inner import Shown as Renamed\n",
    "unseen/inner.py": 'class Shown:\n  """What it does.\n\n  More."""\ndef made():\n    "Made."\n',
    "unseen/round.py": "from .about import Round\n",
    "unseen/about.py": "from .round import Round\n",
    "unseen/bare.py": "class Bare:\n    pass\n",
    "unseen/far.py": "from unseen_space.part import Far\n",
    "unseen/wrong.py": "class Wrong(:\n",
    "unseen_space/part.py": 'class Far:\n    """In a namespace."""\n',
}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("unseen.inner:Shown", "What it does."),
        ("unseen.inner:made", "Made."),
        ("unseen:Renamed", "What it does."),
        ("unseen.far:Far", "In a namespace."),
        ("trackside.handlers:EMA", "Keeps an exponential moving average of the weights"),
    ],
)
def test_the_first_line_is_read_where_the_object_is_defined_and_nothing_is_imported(target, line):
    before = set(sys.modules)
    assert summary(target).startswith(line)
    assert not {name for name in set(sys.modules) - before if name.startswith("unseen")}


@pytest.mark.parametrize(
    "target",
    [
        "unseen.bare:Bare",
        "unseen.inner:Missing",
        "unseen.round:Round",
        "unseen.wrong:Wrong",
        "unseen.nowhere:Thing",
        "unseen.inner.deeper:Thing",
        "nowhere.at.all:Thing",
        "math:sqrt",
        "no target",
        "",
    ],
)
def test_what_cannot_be_seen_is_left_empty(target):
    assert summary(target) == ""
