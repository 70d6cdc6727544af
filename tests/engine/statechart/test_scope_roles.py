import pytest

from trackside.engine.statechart.chart_error import ChartError
from trackside.engine.statechart.scope_roles import (
    check_roles,
    checked_row,
    checked_votes,
    require_free,
    require_scope,
    standard_roles,
)


def test_a_row_of_lists_becomes_one_of_tuples():
    assert checked_row(["go", "a", "b"]) == ("go", "a", "b")
    assert checked_row(["go", ["a", "c"], "b"]) == ("go", ("a", "c"), "b")


@pytest.mark.parametrize(
    "row", [("go", "a"), ("go", [], "b"), ("go", ["a", 1], "b"), ("go", 3, "b"), (1, "a", "b")]
)
def test_what_is_no_row_is_refused(row):
    with pytest.raises(ChartError, match="expected \\(trigger, source or sources, destination\\)"):
        checked_row(row)


def test_scopes_with_standard_names_have_their_roles():
    paths, names = ["fit", "fit.epoch", "fit.epoch.other"], ["fit", "epoch", "other"]
    assert standard_roles(paths, names) == {"fit": "run", "epoch": "round"}


def test_the_only_outermost_scope_is_the_run_whatever_its_name():
    roles = standard_roles(["play", "play.epoch"], ["play", "epoch"])
    assert roles == {"epoch": "round", "play": "run"}
    assert standard_roles(["play", "rest"], ["play", "rest"]) == {}


def test_roles_may_be_shared_by_updates_and_evaluations_only():
    names = ["a", "b"]
    check_roles({"a": "update", "b": "update"}, names)
    check_roles({"a": "evaluation", "b": "evaluation"}, names)
    with pytest.raises(ChartError, match="the role round is claimed by two scopes: a, b"):
        check_roles({"a": "round", "b": "round"}, names)


def test_an_unknown_role_and_a_scope_that_is_missing_are_refused_with_a_suggestion():
    with pytest.raises(ChartError, match=r"roles=\{'a': 'rond'\}; did you mean round\?; allowed"):
        check_roles({"a": "rond"}, ["a"])
    with pytest.raises(ChartError, match="no scope 'epch'; did you mean epoch"):
        check_roles({"epch": "round"}, ["epoch"])


def test_votes_are_a_tuple_of_triggers():
    assert checked_votes(["after_loss"], ["after_loss", "go"]) == ("after_loss",)
    with pytest.raises(ChartError, match="no row has the trigger 'after_los'; did you mean"):
        checked_votes(["after_los"], ["after_loss"])


def test_scopes_are_listed_once_in_a_message():
    require_scope("x", "a", ["a", "b", "a"])
    with pytest.raises(ChartError, match=r"scopes are a, b$"):
        require_scope("x", "zzz", ["a", "b", "a"])


@pytest.mark.parametrize("name", ["a", "no name", "3d", ""])
def test_a_name_that_is_taken_or_no_identifier_is_not_free(name):
    require_free("x", "b", ["a"])
    with pytest.raises(ChartError, match="allowed: an identifier that is no scope yet"):
        require_free("x", name, ["a"])
