"""Attacks: strange exceptions in every place where user code runs, in every way to drive a fit.

`python tests/attack.py SEED` repeats one; a failure names its seed.
"""

import warnings

import attack
import pytest
from helpers import drawn


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check(attacked, seeds):
    for seed in seeds:
        try:
            attacked(seed)
        except BaseException as error:
            raise AssertionError(f"{attack.Scenario.of(seed)}: {error}") from error


@pytest.mark.parametrize("number", range(4))
def test_every_scope_closes_once_and_the_next_fit_is_undisturbed(number):
    check(attack.attack, range(20 * number, 20 * number + 20))


@pytest.mark.parametrize("number", range(2))
def test_two_attacks_in_two_threads_do_not_meet(number):
    check(attack.attack_by_two, range(5 * number, 5 * number + 5))


@pytest.mark.long
@pytest.mark.parametrize("number", range(100))
def test_a_hundred_thousand_attacks_change_nothing(number):
    check(attack.attack, drawn(number, 950))
    check(attack.attack_by_two, drawn(number, 50))
