"""What the documents show: their commands are commands; helpers to read their blocks."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from trackside.views.commands.main import build_parser
from trackside.views.jobs.factory_arguments import read_arguments

ROOT = Path(__file__).parents[1]
PAGES = [p for p in sorted(ROOT.glob("docs/**/*.md")) if p.parent.parent.name != "reference"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
TEXTS = [*DOCUMENTS, ROOT / "SECURITY.md", ROOT / "RELEASING.md"]
PACKAGES = ("engine", "events", "handlers", "views")
NAMED = re.compile(rf"`((?:tests|examples|benchmarks|docs|{'|'.join(PACKAGES)})/[\w./-]+)`")
OPERATORS = {"&&", "||", "|", ";", ">", "&"}


def blocks(document, *languages):
    """(number of the first line, lines) of each fenced block in one of the languages."""
    language, found = None, []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```(\S*)", line)
        if not fence:
            if language in languages:
                found[-1][1].append(line)
        elif language is None:
            language = fence[1] or "text"
            if language in languages:
                found.append((number + 1, []))
        else:
            language = None
    assert language is None, f"{document.name}: a block is not closed"
    return found


def python_of(document):
    """All its Python as one file, each line where it stands in the document."""
    lines = [""] * len(document.read_text(encoding="utf-8").splitlines())
    for first, block in blocks(document, "python"):
        lines[first - 1 : first - 1 + len(block)] = block
    return "\n".join(lines)


def typed(document):
    """What a reader would type: the lines of its console blocks, and `trackside …` in its prose."""
    for _, block in blocks(document, "console", "sh", "bash"):
        prompted = any(line.startswith("$ ") for line in block)
        for line in "\n".join(block).replace("\\\n", " ").splitlines():
            if not prompted or line.startswith("$ "):
                yield line.removeprefix("$ ")
    yield from re.findall(r"`((?:trackside|make) [^`…]+)`", document.read_text(encoding="utf-8"))


def commands(document):
    """The same as words, up to an operator of the shell."""
    for line in typed(document):
        words = shlex.split(line, comments=True)
        yield words[: next((i for i, word in enumerate(words) if word in OPERATORS), None)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_its_commands_are_commands(document):
    targets = set(re.findall(r"^([\w-]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *words in filter(None, commands(document)):
        if program == "trackside":
            given = build_parser().parse_args(words)
            if getattr(given, "factory", "").startswith("examples/"):
                given.config = []  # the page says what is in it, or a command before this one does
                module, _, name = given.factory.removeprefix("examples/").partition(".py:")
                read_arguments(getattr(importlib.import_module(module), name), given)
        elif program == "make":
            assert {word for word in words if "=" not in word} <= targets
        for word in words:
            file = word.partition(":")[0]
            assert not file.startswith(("examples/", "benchmarks/")) or (ROOT / file).is_file()


def test_the_file_of_arguments_that_a_page_shows_is_read(tmp_path):
    (_, lines), *_ = blocks(ROOT / "docs/how-to/arguments.md", "yaml")
    path = tmp_path / "run.yaml"
    path.write_text("\n".join(lines))
    words = ["fit", "examples/digits.py:digits", "--config", str(path)]
    given = build_parser().parse_args(words)
    read = read_arguments(importlib.import_module("digits").digits, given)
    assert (read.given["lr"], read.given["batch_size"]) == (0.003, 64)
    assert (given.epochs, given.precision, given.handler) == (3, "bf16", ["ema.decay=0.99"])


@pytest.mark.parametrize("document", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_files_that_it_names_are_there(document):
    named = NAMED.findall(document.read_text(encoding="utf-8"))
    made = "benchmarks/results/"
    assert [n for n in named if not (n.startswith(made) or (ROOT / n).exists())] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_its_tree_has_every_wing(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = {
        f"{path.parent.name}/" for part in PACKAGES for path in ROOT.glob(f"{part}/*/__init__.py")
    }
    assert {wing for wing in found if wing not in text} == set()


def test_the_readme_has_fewer_than_two_hundred_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200
