import csv
import re
import sys
import xml.etree.ElementTree as Tree

import optuna
import pytest

from trackside.views import Study
from trackside.views.output.usage_error import UsageError
from trackside.views.studies.study_file import KeptTrial
from trackside.views.studies.trial_result import Trial
from trackside.views.studies.variation import Variation

ALL, BARE, BAD = Variation("all handlers"), Variation("without EMA", ("EMA",)), Variation("<b>&")
SEEDS = (0, 1, 2)


def kept(value, outcome="completed", seconds=2.0, reason="", error="", **facts):
    rows = [
        {"epoch": epoch, "outcome": "completed", "a": v} for epoch, v in enumerate([9.0, value])
    ]
    costs = {"EMA": (10, 500_000_000)}
    return KeptTrial(Trial((), (), 0), outcome, reason, error, seconds, rows, costs, facts)


def study(trials=None, **options):
    made = {
        **{(ALL, seed): kept(10.0 + seed) for seed in SEEDS},
        **{(BARE, seed): kept(11.0 + 2 * seed, seconds=1.0) for seed in SEEDS},
        **{(BAD, seed): kept(0.0, "failed", None, "ValueError: <i>", "T<b>") for seed in SEEDS},
        **(trials or {}),
    }
    return Study("jobs:f", "a", SEEDS, made, **options)


def test_a_line_has_the_last_values_their_mean_and_their_spread():
    first, bare, bad = study().lines
    assert first.values == {0: 10.0, 1: 11.0, 2: 12.0}
    assert (first.mean, first.deviation, first.difference) == (11.0, 1.0, None)
    assert (bare.mean, bare.deviation) == (13.0, 2.0)
    assert (bad.mean, bad.deviation, bad.difference, bad.seconds) == (None, None, None, None)


def test_differences_are_paired_by_seed():
    bare = study().lines[1]
    assert bare.differences == {0: 1.0, 1: 2.0, 2: 3.0}
    assert bare.difference == pytest.approx((2.0, 2.0 - 2.484138, 2.0 + 2.484138), rel=1e-6)


def test_only_seeds_with_both_fits_are_paired():
    made = study({(ALL, 1): kept(0.0, "failed"), (BARE, 2): kept("nan")})
    assert made.lines[1].differences == {0: 1.0}
    assert made.lines[1].difference == (1.0, None, None)
    assert made.lines[1].values == {0: 11.0, 1: 13.0}


def test_the_cost_of_a_handler_is_its_time_in_a_fit_with_all():
    first, bare, _ = study().lines
    assert (first.seconds, first.handler_seconds) == (2.0, None)
    assert (bare.seconds, bare.handler_seconds) == (1.0, 0.5)


def test_a_fit_without_a_value_is_told_with_its_reason():
    made = study({(BARE, 0): kept("nan"), (BARE, 1): kept(1.0, None)})
    assert [(one.label, one.seed, one.reason) for one in made.failures] == [
        ("without EMA", 0, "a is nan"),
        ("without EMA", 1, "not made yet"),
        *(("<b>&", seed, "ValueError: <i>") for seed in SEEDS),
    ]


def test_fits_of_different_versions_are_told():
    old, new = {"versions": {"torch": "2.10"}}, {"versions": {"torch": "2.11"}}
    made = study({(ALL, 0): kept(1.0, **old), (ALL, 1): kept(1.0, **new)}, notes=["left out"])
    assert made.notes == ["left out", "the fits were made with more than one torch: 2.10, 2.11"]


def test_the_printed_table_has_every_line_and_says_which_interval_it_is():
    text = str(study(notes=["Metrics stays: it only measures"]))
    assert re.search(r"^all handlers +11 ± 1 +2\.00 s$", text, re.MULTILINE)
    assert re.search(
        r"^without EMA +13 ± 2 +\+2 +-0\.48 … \+4\.5 +1\.00 s +500 ms$", text, re.MULTILINE
    )
    assert re.search(r"^<b>& \(0 of 3 fits\)$", text, re.MULTILINE)
    assert "Student's t (scipy.stats.t)" in text
    assert "Metrics stays: it only measures" in text
    assert "failed: <b>&, seed 0: ValueError: <i>" in text


def test_the_csv_has_a_line_for_each_variation_and_a_column_for_each_seed(tmp_path):
    study().to_csv(tmp_path / "study.csv")
    first, bare, bad = csv.DictReader((tmp_path / "study.csv").read_text().splitlines())
    assert (first["mean"], first["difference"], first["seed 2"]) == ("11.0", "", "12.0")
    assert (bare["difference"], bare["seconds"], bare["handler_seconds"]) == ("2.0", "1.0", "0.5")
    assert float(bare["low"]) == pytest.approx(2.0 - 2.484138)
    assert (bad["fits"], bad["failed"], bad["mean"], bad["seed 0"]) == ("0", "3", "", "")


def test_the_page_shows_texts_as_texts_and_loads_nothing(tmp_path):
    study().to_html(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<td>&lt;b&gt;&amp; (0 of 3 fits)</td>" in page
    assert "<pre>T&lt;b&gt;</pre>" in page
    assert not re.search(r"<b>|<i>|src=|href=|url\(|<script", page)


def test_the_plot_has_the_interval_the_mean_and_each_seed_in_one_scale(tmp_path):
    study().to_html(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    svg = Tree.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])
    [bar] = svg.findall("line[@class='bar']")
    [mean] = svg.findall("circle[@class='mean']")
    fits = [float(one.get("cx")) for one in svg.findall("circle[@class='fit']")]
    zero = float(svg.find("line[@class='zero']").get("x1"))
    unit = fits[1] - fits[0]
    assert fits == pytest.approx([zero + unit, zero + 2 * unit, zero + 3 * unit], abs=0.2)
    assert float(mean.get("cx")) == fits[1]
    assert float(bar.get("x1")) == pytest.approx(zero - 0.484138 * unit, abs=0.2)
    assert float(bar.get("x2")) == pytest.approx(zero + 4.484138 * unit, abs=0.2)


def test_a_study_without_differences_has_a_page_without_a_plot(tmp_path):
    Study("jobs:f", "a", [0], {(ALL, 0): kept(1.0)}).to_html(tmp_path / "study.html")
    assert "<svg" not in (tmp_path / "study.html").read_text(encoding="utf-8")


def test_equal_values_have_a_plot_too(tmp_path):
    made = {(v, seed): kept(1.0) for v in (ALL, BARE) for seed in SEEDS}
    Study("jobs:f", "a", SEEDS, made).to_html(tmp_path / "study.html")
    assert "<svg" in (tmp_path / "study.html").read_text(encoding="utf-8")


def test_one_seed_has_a_plot_without_an_interval(tmp_path):
    made = {(ALL, 0): kept(1.0), (BARE, 0): kept(2.0)}
    Study("jobs:f", "a", [0], made).to_html(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    svg = Tree.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])
    assert svg.findall("line[@class='bar']") == []
    assert len(svg.findall("circle[@class='mean']")) == 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_study_opens_in_optuna(tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study().to_optuna(storage, maximize=True)
    loaded = optuna.load_study(study_name="jobs:f a", storage=storage)
    assert loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    assert loaded.best_params == {"variation": "without EMA", "seed": 2}
    assert loaded.best_trial.intermediate_values == {0: 9.0, 1: 15.0}
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE"] * 6 + ["FAIL"] * 3
    with pytest.raises(UsageError, match="cannot export to sqlite"):
        study().to_optuna(storage)


def test_without_optuna_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match="pip install optuna"):
        study().to_optuna("sqlite:///optuna.db")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_an_export_to_optuna_that_fails_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    storage, added = f"sqlite:///{tmp_path / 'optuna.db'}", []
    add = optuna.Study.add_trial

    def fail_at_the_third(self, trial):
        added.append(trial)
        if len(added) == 3:
            raise OSError("the disk is full")
        add(self, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", fail_at_the_third)
    with pytest.raises(UsageError, match=r"cannot export to sqlite.*: the disk is full"):
        study().to_optuna(storage)
    assert optuna.get_all_study_names(storage) == []
