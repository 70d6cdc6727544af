"""What `status`, `top`, the page and the report say of two ranks that torchrun has started."""

import contextlib
import io

import pytest
from browsers import is_ready, opened
from launched_ranks import go_on, launched, stands_still
from watched import wait_until, watching

from trackside.views.commands.main import main

STILL = (
    "rank 1 stands still in Slow.after_loss, in fit › epoch › train › batch › scored; "
    "rank 0 waits for it"
)
SLOWEST = "rank 1 is the slowest, in fit › epoch › train › batch › scored: "


@pytest.fixture(scope="module")
def seen(browser, tmp_path_factory):
    """What each view says, while rank 1 stands still and after the fit."""
    folder = tmp_path_factory.mktemp("ranks")
    with launched(folder) as process:
        wait_until(lambda: stands_still(folder))
        during = {name: view(folder, browser) for name, view in VIEWS.items()}
        go_on(folder)
        assert process.wait(300) == 0
    return {"during": during, "after": {n: view(folder, browser) for n, view in VIEWS.items()}}


def printed(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*map(str, arguments)]) == 0
    return " ".join(out.getvalue().replace("│", " ").split())


def on_live_page(folder, browser):
    with watching(folder) as address:
        return shown(browser, address)


def on_report(folder, browser):
    printed("report", folder, "-o", folder / "run.html")
    return shown(browser, (folder / "run.html").as_uri())


def shown(browser, address):
    with opened(browser, address) as page:
        wait_until(lambda: is_ready(page))
        wait_until(lambda: page.locator("#ranks tbody tr").count() == 2)
        return page.inner_text("#ranks-card")


VIEWS = {
    "status": lambda folder, browser: printed("status", folder),
    "top": lambda folder, browser: printed("top", folder),
    "page": on_live_page,
    "report": on_report,
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_rank_that_stands_still_is_named_with_its_handler_and_who_waits(seen, view):
    assert STILL in seen["during"][view]
    assert "stands still" not in seen["after"][view]


@pytest.mark.parametrize("view", VIEWS)
def test_the_slowest_phase_of_the_slowest_rank_is_named_with_who_has_waited(seen, view):
    text = seen["after"][view]
    assert SLOWEST in text
    assert "rank 0 has waited" in text.partition(SLOWEST)[2]


@pytest.mark.parametrize("view", ["top", "page", "report"])
def test_both_ranks_are_side_by_side(seen, view):
    for text in (seen["during"][view], seen["after"][view]):
        assert "rank 0" in text
        assert "rank 1" in text
    assert "waits" in seen["during"][view]


def test_each_rank_has_its_status(seen):
    during, after = (seen[when]["status"] for when in ("during", "after"))
    assert "rank0.loop mlp" in during
    assert "waits for the other ranks" in during
    assert "called Slow.after_loss" in during
    assert after.count("completed") == 2
