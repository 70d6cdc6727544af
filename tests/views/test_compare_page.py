"""The page of two runs, in a browser."""

import pytest
from browsers import chromium, is_ready, opened
from recordings import recorded
from watched import Named, screenshots, until


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


def test_a_page_that_cannot_be_written_is_said_in_one_line(run_in, tmp_path):
    recorded(tmp_path / "a.loop").close()
    done = run_in(tmp_path, "compare", "a.loop", "a.loop", "-o", "nowhere/cmp.html")
    assert done.returncode == 2
    assert done.stderr == "trackside: cannot write nowhere/cmp.html: No such file or directory\n"
