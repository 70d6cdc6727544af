"""The page that compares two runs, in a browser."""

import pytest
from browsers import is_ready, opened
from charts import GAN, ODD, random_chart
from recordings import recorded
from watched import NamedLikeMarkup, screenshots, wait_until

from trackside.engine.statechart.chart import EVALUATION, SUPERVISED
from trackside.engine.statechart.topology import Topology
from trackside.views.page.page import COMPARE, as_json


@pytest.fixture(scope="module")
def page_file(run_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    recorded(folder / "a.loop", NamedLikeMarkup(), timing=True).close()
    recorded(folder / "b.loop", NamedLikeMarkup(), epochs=4, timing=True).close()
    done = run_in(folder, "compare", "a.loop", "b.loop", "-o", "cmp.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("wrote cmp.html\n")
    return folder / "cmp.html"


def test_arrows_and_tables_show_the_counts_of_both_runs(browser, page_file):
    with opened(browser, page_file.as_uri()) as page:
        wait_until(lambda: is_ready(page))
        titles = page.locator(".arrow title").all_text_contents()
        assert "begin_epoch: 2 in A, 4 in B" in titles
        assert "begin_fit: 1 in A, 1 in B" in titles
        rows = page.locator("#phases tbody tr").all_inner_texts()
        forward = next(row for row in rows if row.startswith("fit › epoch › train › batch › forw"))
        assert forward.split("\t")[1:3] == ["10", "20"]
        handlers = page.locator("#receivers tbody td:first-child").all_inner_texts()
        assert any(name.startswith("<script>") for name in handlers)
        page.screenshot(path=screenshots() / "compare.png", full_page=True)


def test_the_compared_loop_is_saved_with_the_changes_of_its_phases(browser, page_file):
    with opened(browser, page_file.as_uri()) as page:
        wait_until(lambda: is_ready(page))
        with page.expect_download() as download:
            page.locator("#save-chart button").first.click()
        assert download.value.suggested_filename == "comparison-a-b.svg"
        text = download.value.path().read_text()
        change = page.locator("#board .change").first.inner_text()
        assert f">{change}<" in text
        assert ">2|4<" in text


def test_page_is_never_wider_than_the_window(browser, page_file):
    for width in (360, 768, 1440, 2560):
        size = {"width": width, "height": 900}
        with opened(browser, page_file.as_uri(), viewport=size) as page:
            wait_until(lambda page=page: is_ready(page))
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, scheme


LAYOUT_FAULTS = """() => {
    const arrows = [...document.querySelectorAll(".arrow:not(.unused)")];
    const broken = arrows.filter((e) => !/^M[-L Q\\d.]+$/.test(e.children[1].getAttribute("d")));
    const leaves = [...document.querySelectorAll(".board .leaf:not(.unused)")];
    const narrow = leaves.filter((e) => e.scrollWidth > e.clientWidth + 1);
    return [arrows.length > 0, broken.length, narrow.length,
            document.documentElement.scrollWidth - document.documentElement.clientWidth];
}"""


def test_board_lays_out_any_chart_at_any_width(browser, tmp_path):
    charts = [SUPERVISED, EVALUATION, GAN, ODD, *map(random_chart, range(20))]
    pages = [tmp_path / f"{number}.html" for number in range(len(charts))]
    for file, chart in zip(pages, charts, strict=True):
        file.write_text(COMPARE.html("chart", {"comparison": as_json(comparison_of(chart))}))
    for width in (360, 1440):
        with opened(browser, tmp_path.as_uri(), viewport={"width": width, "height": 900}) as page:
            for file in pages:
                page.goto(file.as_uri())
                wait_until(lambda page=page: is_ready(page))
                assert page.evaluate(LAYOUT_FAULTS) == [True, 0, 0, 0], (file.name, width)


def comparison_of(chart):
    """A comparison in which both runs took every row and spent time in every phase."""
    topology = Topology(chart)
    leaves = [leaf for leaf in topology.leaves if leaf not in topology.resting]
    return {
        "a": [],
        "b": [],
        "results": [{}, {}],
        "rows": list(topology.rows),
        "row_counts": [[row, row + 1, row + 2] for row in range(len(topology.rows))],
        "phases": [[leaf, 3, 3_000_000, 4, 9_000_000, None, None] for leaf in leaves],
        "transitions": [],
        "receivers": [],
    }


def test_a_page_that_cannot_be_written_is_a_one_line_error(run_in, tmp_path):
    recorded(tmp_path / "a.loop").close()
    done = run_in(tmp_path, "compare", "a.loop", "a.loop", "-o", "nowhere/cmp.html")
    assert done.returncode == 2
    assert done.stderr == "trackside: cannot write nowhere/cmp.html: No such file or directory\n"
