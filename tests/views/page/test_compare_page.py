"""The page of two runs, in a browser."""

import pytest
from browsers import chromium, is_ready, opened
from charts import GAN, ODD, random_chart
from recordings import recorded
from watched import Named, screenshots, until

from trackside.engine.statechart.chart import EVALUATION, SUPERVISED
from trackside.engine.statechart.topology import Topology
from trackside.views.page.page import COMPARE, as_json


@pytest.fixture(scope="module")
def page_file(run_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    recorded(folder / "a.loop", Named(), timing=True).close()
    recorded(folder / "b.loop", Named(), epochs=4, timing=True).close()
    done = run_in(folder, "compare", "a.loop", "b.loop", "-o", "cmp.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("wrote cmp.html\n")
    return folder / "cmp.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


def test_counts_of_both_runs_are_on_the_arrows_and_in_the_tables(browser, page_file):
    with opened(browser, page_file.as_uri()) as page:
        until(lambda: is_ready(page))
        titles = page.locator(".wire title").all_text_contents()
        assert "begin_epoch: 2 in A, 4 in B" in titles
        assert "begin_fit: 1 in A, 1 in B" in titles
        rows = page.locator("#phases tbody tr").all_inner_texts()
        forward = next(row for row in rows if row.startswith("fit › epoch › train › batch › forw"))
        assert forward.split("\t")[1:3] == ["10", "20"]
        handlers = page.locator("#receivers tbody td:first-child").all_inner_texts()
        assert any(name.startswith("<script>") for name in handlers)
        page.screenshot(path=screenshots() / "compare.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440, 2560])
def test_nothing_is_wider_than_the_page(browser, page_file, width, scheme):
    size = {"width": width, "height": 900}
    with opened(browser, page_file.as_uri(), viewport=size, color_scheme=scheme) as page:
        until(lambda: is_ready(page))
        assert page.evaluate("document.documentElement.scrollWidth") <= width


LAID_OUT = """() => {
    const arrows = [...document.querySelectorAll(".wire:not(.unused)")];
    const broken = arrows.filter((e) => !/^M[-L Q\\d.]+$/.test(e.children[1].getAttribute("d")));
    const leaves = [...document.querySelectorAll(".board .leaf:not(.late)")];
    const narrow = leaves.filter((e) => e.scrollWidth > e.clientWidth + 1);
    return [arrows.length > 0, broken.length, narrow.length,
            document.documentElement.scrollWidth - document.documentElement.clientWidth];
}"""


@pytest.mark.parametrize("width", [360, 1440])
def test_the_board_lays_out_any_chart(browser, tmp_path, width):
    charts = [SUPERVISED, EVALUATION, GAN, ODD, *map(random_chart, range(20))]
    pages = [tmp_path / f"{number}.html" for number in range(len(charts))]
    for file, chart in zip(pages, charts, strict=True):
        file.write_text(COMPARE.html("chart", {"comparison": as_json(made_up(chart))}))
    with opened(browser, tmp_path.as_uri(), viewport={"width": width, "height": 900}) as page:
        for file in pages:
            page.goto(file.as_uri())
            until(lambda: is_ready(page))
            assert page.evaluate(LAID_OUT) == [True, 0, 0, 0], file.name


def made_up(chart):
    """A comparison in which every row was taken, and every phase lasted."""
    topology = Topology(chart)
    leaves = [leaf for leaf in topology.leaves if leaf not in topology.resting]
    return {
        "a": [],
        "b": [],
        "rows": topology.rows,
        "made": [[row, row + 1, row + 2] for row in range(len(topology.rows))],
        "phases": [[leaf, 3, 3_000_000, 4, 9_000_000] for leaf in leaves],
        "transitions": [],
        "receivers": [],
    }


def test_a_page_that_cannot_be_written_is_said_in_one_line(run_in, tmp_path):
    recorded(tmp_path / "a.loop").close()
    done = run_in(tmp_path, "compare", "a.loop", "a.loop", "-o", "nowhere/cmp.html")
    assert done.returncode == 2
    assert done.stderr == "trackside: cannot write nowhere/cmp.html: No such file or directory\n"
