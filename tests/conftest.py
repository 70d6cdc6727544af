import gc
import os
import random
import sys

import pytest
from hypothesis import HealthCheck, settings
from leftovers import Leftovers

# the same examples wherever they run, and no clock: a busy machine is slower, not wrong
settings.register_profile(
    "trackside",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trackside")

SEED = "TRACKSIDE_MATRIX_SEED"
LONGEST = (
    *("test_distributed.py", "test_watch_browser.py", "test_services.py", "test_control_group.py"),
    *("test_packages.py", "test_sharded_models.py", "test_isolation.py", "test_restore.py"),
    *("test_sharded_checkpoints.py", "test_pages.py", "test_verify_resume.py", "test_ablation.py"),
)
"""Files that begin first: who came to one at the end would work alone."""


def pytest_addoption(parser):
    parser.addoption(
        "--whole-matrix", action="store_true", help="every cell of tests marked as a matrix"
    )


def pytest_configure(config):
    config.option.loadscopereorder = False  # of xdist, which begins with files of many tests
    if not config.getoption("--whole-matrix"):  # the workers of xdist inherit the environment
        os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**6)))


def pytest_report_header(config):
    if config.getoption("--whole-matrix"):
        return "matrices: every cell"
    return f"matrices: a tenth of the cells, drawn by {SEED}={os.environ[SEED]}"


def pytest_collection_modifyitems(config, items):
    """Begin with long files; of each test marked as a matrix keep a tenth of its cells, or 8."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else 99)
    if config.getoption("--whole-matrix"):
        return
    matrices = {}
    for item in items:
        if item.get_closest_marker("matrix"):
            matrices.setdefault(item.nodeid.partition("[")[0], []).append(item)
    dropped = set()
    for test, cells in matrices.items():
        draw = random.Random(f"{os.environ[SEED]} {test}")
        kept = draw.sample(cells, min(len(cells), max(8, len(cells) // 10)))
        dropped.update(set(cells) - set(kept))
    if dropped:
        config.hook.pytest_deselected(items=[item for item in items if item in dropped])
        items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish(session):
    """Keep what lives as long as the run, all of torch, out of every later garbage collection."""
    gc.collect()
    gc.freeze()
    session.config.leftovers = Leftovers()


def pytest_sessionfinish():
    """Write what coverage has measured: xdist kills a worker that does not exit in 10 seconds."""
    coverage = sys.modules.get("coverage")
    measuring = coverage and coverage.Coverage.current()
    if measuring:
        measuring.save()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """Fail if the tests of a module have left the process changed."""
    result = yield
    is_last = nextitem is None or nextitem.path != item.path
    item.config.leftovers.check(item.nodeid, is_last)
    return result


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(pytest_report_header(config))


@pytest.fixture
def group(monkeypatch):
    """A process group of one process, which is enough for what is inside one rank."""
    import torch.distributed as dist  # slow to import

    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()
