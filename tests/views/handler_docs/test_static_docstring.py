import importlib
import sys

import pytest

from trackside.views.handler_docs.static_docstring import summary

FILES = {
    "unseen/__init__.py": "raise SystemExit('imported')\nfrom .inner import Shown as Renamed\n",
    "unseen/inner.py": 'class Shown:\n  """What it does.\n\n  More."""\ndef f():\n  "Is called."\n',
    "unseen/round.py": "from .about import Round\n",
    "unseen/about.py": "from .round import Round\n",
    "unseen/bare.py": "class Bare:\n    pass\n",
    "unseen/far.py": "from unseen_space.part import Far\n",
    "unseen/lazy.py": "if TYPE_CHECKING:\n    from .inner import Shown\n",
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
        ("unseen.inner:f", "Is called."),
        ("unseen:Renamed", "What it does."),
        ("unseen.far:Far", "In a namespace."),
        ("unseen.lazy:Shown", "What it does."),
        ("trackside.handlers:EMA", "Averages the weights exponentially, "),
    ],
)
def test_the_first_docstring_line_is_read_without_imports(target, line):
    before = set(sys.modules)
    assert summary(target).startswith(line)
    assert not {name for name in set(sys.modules) - before if name.startswith("unseen")}


def test_a_docstring_in_a_folder_that_an_imported_package_has_added_is_read(tmp_path, monkeypatch):
    (tmp_path / "grown").mkdir()
    (tmp_path / "grown" / "__init__.py").write_text("__path__.append(__path__[0] + '/../unseen')\n")
    monkeypatch.delitem(sys.modules, "grown", raising=False)
    importlib.import_module("grown")
    assert summary("grown.inner:Shown") == "What it does."
    assert "grown.inner" not in sys.modules


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
def test_an_object_that_is_not_found_has_an_empty_summary(target):
    assert summary(target) == ""
