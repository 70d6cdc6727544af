import pytest
from helpers import state_of

from trackside.engine.data.validation_loaders import (
    argument_name,
    by_name,
    check_evaluation_name,
    current_loader,
    described,
    next_name,
)

NAMED = {"easy": [1], "hard": [2]}


def test_a_loader_without_a_name_is_the_validation_valid():
    assert by_name(None) == {}
    assert by_name([1]) == {"valid": [1]}
    assert by_name(NAMED) == NAMED


def test_the_loader_of_the_evaluation_that_runs_is_current():
    assert current_loader(state_of(valid_loader=[1])) == [1]
    assert current_loader(state_of(valid_loader=NAMED, evaluation="hard")) == [2]
    assert current_loader(state_of(valid_loader=NAMED, evaluation="gone")) is None


def test_a_loader_is_described_as_the_user_passed_it():
    assert argument_name([1], "valid") == "valid_loader"
    assert described(state_of(valid_loader=NAMED, evaluation="hard")) == "valid_loader['hard']"
    assert described(state_of(valid_loader=[1], job="predict")) == "loader"


@pytest.mark.parametrize(
    ("evaluation", "following"), [("easy", "hard"), ("hard", None), ("gone", None)]
)
def test_validations_follow_each_other_in_order(evaluation, following):
    assert next_name(state_of(valid_loader=NAMED, evaluation=evaluation)) == following
    assert next_name(state_of(valid_loader=None, evaluation=evaluation)) is None


def test_the_name_of_a_validation_begins_those_of_its_metrics():
    check_evaluation_name("fit", "test")
    for name in ("", "train"):
        with pytest.raises(ValueError, match=f"fit: the name {name!r}; allowed: any other"):
            check_evaluation_name("fit", name)
    with pytest.raises(TypeError, match="the name 3 is a int; allowed: a str"):
        check_evaluation_name("fit", 3)
