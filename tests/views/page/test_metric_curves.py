"""The learning curves of the page, drawn by a real browser."""

import re

import pytest
from browsers import is_ready, opened
from helpers import batches, trainer_of
from recordings import recorded
from watched import screenshots, wait_until, wait_until_drawn

from trackside.handlers import Metrics, Recorder
from trackside.views.page.report import write_report
from trackside.views.recordings.recording import Recording

EPOCHS = 6


class Right:
    """The fraction of right predictions."""

    def reset(self):
        self.right = self.count = 0

    def update(self, pred, target):
        self.right += int((pred.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self):
        return self.right / self.count


class Margin:
    """A metric that begins below 0, and is no number in the second epoch."""

    def after_epoch(self, trainer, state):
        state.metrics["margin"] = [-1.0, float("nan"), 3.0][min(state.epoch, 2)]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a fit with seven metrics, and the path of its recording."""
    path = tmp_path_factory.mktemp("curves") / "run.loop"
    trainer = trainer_of(Metrics(accuracy=Right()), Margin(), Recorder(path, scalars=4))
    trainer.fit(batches(12), batches(3), epochs=EPOCHS)
    write_report([path], path.with_suffix(".html"))
    return path.with_suffix(".html"), path


@pytest.fixture
def page(shared_page):
    """The page with the curves shown, over steps, not smoothed."""
    shared_page.locator("#show-curves").click()
    shared_page.locator("#curve-smoothing").fill("0")
    shared_page.select_option("#curve-axis", "step")
    shared_page.mouse.move(0, 0)
    wait_until_drawn(shared_page)
    wait_until(lambda: captions(shared_page).get("loss", "").endswith("at step 72"))
    return shared_page


def captions(page):
    """The value beside the name of each picture, by the name."""
    pairs = page.locator(".metric figcaption").evaluate_all(
        "(all) => all.map(e => [e.firstChild.textContent, e.lastChild.textContent])"
    )
    return dict(pairs)


def values(path, name):
    """(epoch, step, value) of a metric."""
    with Recording(path) as recording:
        return [(s.epoch, s.step, s.value) for s in recording.scalars() if s.name == name]


def shown_value(text):
    return float(text.split()[0].rstrip(","))


def point_at(page, name, share):
    """Move the pointer to a fraction of the width of a picture's axis."""
    canvas = page.locator(".metric", has=page.locator("figcaption", has_text=re.compile(name)))
    canvas = canvas.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    left, right = box["x"] + 58, box["x"] + box["width"] - 12
    page.mouse.move(left + (right - left) * share, box["y"] + 60)


def test_each_recorded_metric_has_a_picture_with_its_last_value(page, report):
    with Recording(report[1]) as recording:
        names = list(dict.fromkeys(scalar.name for scalar in recording.scalars()))
    assert {"train_accuracy", "valid_accuracy", "valid_loss", "lr"} < {*names}
    assert list(captions(page)) == names
    for name, text in captions(page).items():
        assert shown_value(text) == pytest.approx(values(report[1], name)[-1][2], rel=1e-3)
    page.screenshot(path=screenshots() / "curves.png")


def test_the_value_under_the_pointer_is_shown_with_its_step(page, report):
    point_at(page, "^train_accuracy", 0)
    _, step, value = values(report[1], "train_accuracy")[0]
    wait_until(lambda: captions(page)["train_accuracy"].endswith(f" at step {step}"))
    assert shown_value(captions(page)["train_accuracy"]) == pytest.approx(value, rel=1e-3)


def test_over_epochs_a_sampled_loss_is_the_mean_of_each_epoch(page, report):
    page.select_option("#curve-axis", "epoch")
    point_at(page, "^loss", 0)
    wait_until(lambda: captions(page)["loss"].endswith(" at epoch 1"))
    first = [value for epoch, _, value in values(report[1], "loss") if epoch == 0]
    assert len(first) == 3
    expected = pytest.approx(sum(first) / len(first), rel=1e-3)
    assert shown_value(captions(page)["loss"]) == expected


def test_smoothing_shows_an_exponential_mean_beside_the_value(page, report):
    page.locator("#curve-smoothing").fill("0.5")
    wait_until(lambda: "smoothed" in captions(page)["valid_loss"])
    mean = share = 0.0
    for _, _, value in values(report[1], "valid_loss"):
        mean, share = (mean + value) / 2, (share + 1) / 2
    shown = re.search(r"smoothed (\S+) at", captions(page)["valid_loss"])[1]
    assert float(shown) == pytest.approx(mean / share, rel=1e-3)


def test_a_logarithmic_axis_draws_another_picture(page):
    pictures = "(all) => all.map(e => e.toDataURL())"
    linear = page.locator(".metric canvas").evaluate_all(pictures)
    page.locator("#curve-log").check()
    wait_until(lambda: page.locator(".metric canvas").evaluate_all(pictures) != linear)
    page.locator("#curve-log").uncheck()
    wait_until(lambda: page.locator(".metric canvas").evaluate_all(pictures) == linear)


def test_a_value_that_cannot_be_drawn_is_marked_and_said(page):
    assert captions(page)["margin"] == "3 at step 72 · ▲ 1 not drawn"
    point_at(page, "^margin", 0.2)
    wait_until(lambda: captions(page)["margin"] == "NaN at step 24 · ▲ 1 not drawn")
    page.screenshot(path=screenshots() / "curves-nan.png")
    page.mouse.move(0, 0)
    page.locator("#curve-log").check()
    wait_until(lambda: captions(page)["margin"] == "3 at step 72 · ▲ 2 not drawn")
    page.locator("#curve-log").uncheck()


def test_metrics_from_before_the_oldest_record_are_drawn(browser, tmp_path):
    path = tmp_path / "run.loop"
    recorded(path, Metrics(), epochs=40, records=256).close()
    assert values(path, "train_loss")[0][1] > 5
    write_report([path], path.with_suffix(".html"))
    with opened(browser, path.with_suffix(".html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        page.locator("#show-curves").click()
        wait_until(lambda: "train_loss" in captions(page))
        point_at(page, "^train_loss", 0)
        wait_until(lambda: captions(page)["train_loss"].endswith(" at step 5"))


def test_a_key_shows_the_curves_in_place_of_the_loop(page):
    assert page.locator("#loop-card").is_hidden()
    page.keyboard.press("m")
    assert page.locator("#loop-card").is_visible()
    assert page.locator("#curves-card").is_hidden()
    assert page.get_attribute("#show-curves", "aria-pressed") == "false"


def test_pictures_fit_the_window_and_do_not_overlap(browser, report):
    for width, height in {360: 740, 768: 1024, 1440: 900, 2560: 1440}.items():
        size = {"width": width, "height": height}
        with opened(browser, report[0].as_uri(), viewport=size) as page:
            wait_until(lambda page=page: is_ready(page))
            page.locator("#show-curves").click()
            wait_until(lambda page=page: len(captions(page)) == 7)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = [one.bounding_box() for one in page.locator(".metric canvas").all()]
            assert all(box["x"] + box["width"] <= width for box in boxes)
            tops = sorted((box["y"], box["x"]) for box in boxes)
            assert len(set(tops)) == len(boxes)
            page.screenshot(path=screenshots() / f"curves-{width}.png", full_page=True)
