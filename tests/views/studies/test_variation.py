import pytest

from trackside.views.output.usage_error import UsageError
from trackside.views.studies.probed_job import ProbedJob
from trackside.views.studies.variation import missing_requirement, removals, settings


def probed(*names, kept=(), **requires):
    classes = {name: [name.partition("-")[0], "object"] for name in names}
    needed = {name: requires.get(name, []) for name in names}
    return ProbedJob([*names], classes, needed, dict.fromkeys(kept, "it only measures"))


def labels(plan):
    return {variation.label: variation.without for variation in plan.variations}


def test_a_study_has_all_handlers_and_then_lacks_each_one_that_acts_on_the_training():
    plan = removals(probed("EMA", "Metrics", "MixUp", kept=["Metrics"]))
    assert labels(plan) == {
        "all handlers": (),
        "without EMA": ("EMA",),
        "without MixUp": ("MixUp",),
    }
    assert plan.notes == ["Metrics stays: it only measures"]


def test_alone_and_pairs_add_each_handler_alone_and_without_each_two():
    plan = removals(probed("A", "B", "C", "D"), alone=True, pairs=True)
    assert [*labels(plan)] == [
        "all handlers",
        *(f"without {name}" for name in "ABCD"),
        *(f"{name} alone" for name in "ABCD"),
        *(f"without {a} and {b}" for a, b in ("AB", "AC", "AD", "BC", "BD", "CD")),
    ]
    assert labels(plan)["B alone"] == ("A", "C", "D")
    assert labels(plan)["without A and D"] == ("A", "D")


def test_the_same_handlers_are_left_by_one_variation_only():
    plan = removals(probed("A", "B", "C"), alone=True, pairs=True)
    removed = [*labels(plan).values()]
    assert len({*removed}) == len(removed) == 7


def test_a_handler_that_another_requires_is_removed_only_with_it():
    plan = removals(
        probed("Scaler", "Precision", "EMA", Precision=["Scaler"]), alone=True, pairs=True
    )
    assert "without Scaler" not in labels(plan)
    assert "Precision alone" not in labels(plan)
    assert labels(plan)["EMA alone"] == ("Scaler", "Precision")
    assert labels(plan)["Scaler alone"] == ("Precision", "EMA")
    assert "not run: without Scaler, since Precision requires Scaler" in plan.notes


def test_a_second_handler_of_the_required_class_is_enough():
    job = probed("Scaler", "Scaler-2", "Precision", Precision=["Scaler"])
    assert missing_requirement(job, ["Scaler"]) is None
    assert missing_requirement(job, ["Scaler", "Scaler-2"]) == "Precision requires Scaler"


def test_order_is_not_requirement():
    job = probed("A", "B")
    assert missing_requirement(job, ["A"]) is None


def test_only_the_chosen_handlers_are_removed():
    assert [*labels(removals(probed("A", "B", "C"), ["C", "A"]))][1:] == ["without A", "without C"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            ["MixUpp"],
            "no handler 'MixUpp'; did you mean MixUp\\?; allowed: EMA, MixUp",
        ),
        (["Metrics"], "cannot remove Metrics in a study: it only measures"),
        ([], "no handler to remove: the trainer has EMA, MixUp, Metrics"),
    ],
)
def test_a_handler_that_cannot_be_removed_is_refused(chosen, message):
    with pytest.raises(UsageError, match=message):
        removals(probed("EMA", "MixUp", "Metrics", kept=["Metrics"]), chosen)


def test_settings_are_all_combinations_and_the_first_is_compared_with():
    plan = settings({"lr": [0.1, 0.01], "width": [8, 16]})
    assert [v.label for v in plan.variations] == [
        "lr=0.1, width=8",
        "lr=0.1, width=16",
        "lr=0.01, width=8",
        "lr=0.01, width=16",
    ]
    assert plan.variations[2].arguments == (("lr", 0.01), ("width", 8))
