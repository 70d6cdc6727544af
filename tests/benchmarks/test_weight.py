"""What is counted as the weight of a library."""

import pytest
from benchmarked import benchmark_of


@pytest.fixture
def weight(monkeypatch):
    return benchmark_of("weight", monkeypatch)


@pytest.fixture
def place(tmp_path):
    """An environment with one package, and with pip's own."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for file, size in {"one/a.py": 400_000, "one/b/c.pyc": 600_000, "pip/d.py": 9_000_000}.items():
        (packages / file).parent.mkdir(parents=True, exist_ok=True)
        (packages / file).write_bytes(bytes(size))
    for name in ("one", "pip"):
        (packages / f"{name}-1.0.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (packages / f"{name}-1.0.dist-info" / "METADATA").write_text(metadata)
    return tmp_path


def test_the_files_of_its_packages_are_counted_without_those_of_pip(weight, place):
    assert weight.megabytes(place) == pytest.approx(1.0, abs=0.01)


def test_the_packages_are_those_of_the_environment_without_pip(weight, place):
    assert weight.packages_in(place) == {"one": "1.0"}


def test_every_library_has_a_file_of_requirements_or_is_this_one(weight):
    for name, library in weight.LIBRARIES.items():
        if library.contender:
            assert any(weight.environments.installs_of(library.contender)[0][1:]), name
        else:
            assert name == f"trackside{library.extras}"
