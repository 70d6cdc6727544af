from pathlib import Path

import pytest
import torch

from trackside.events.utils.constructor_call import constructor_call, shown


class Made:
    """Keeps an argument under its name, another one after an underscore."""

    def __init__(self, rate, steps=3, *, api_key=None, every=1, gone=0):
        self.rate = rate
        self._steps = steps
        self.api_key = api_key
        self.every = every


class Text:
    def __init__(self, names=("a", "b")):
        self.names = names


class Several:
    def __init__(self, *metrics, **options):
        self.metrics = metrics
        self.options = options


def test_arguments_without_a_default_are_shown_and_those_that_differ_from_it():
    assert constructor_call(Made(0.1)) == "Made(0.1)"
    assert constructor_call(Made(0.1, 4, every=2)) == "Made(0.1, steps=4, every=2)"


def test_a_value_is_the_present_one_and_a_secret_is_hidden():
    made = Made(0.1, api_key="abc")
    made.rate = 0.5
    assert constructor_call(made) == "Made(0.5, api_key=***)"


def test_what_follows_an_argument_that_is_not_kept_is_shown_by_name():
    made = Made(0.1)
    del made.rate
    made._steps = 5
    assert constructor_call(made) == "Made(steps=5)"


def test_a_required_argument_after_one_that_is_not_kept_is_shown_by_name():
    class Kept:
        def __init__(self, gone, rate):
            self.rate = rate

    assert constructor_call(Kept(1, 0.1)) == "Kept(rate=0.1)"


def test_an_equal_value_of_another_type_differs_from_the_default():
    assert constructor_call(Made(1, steps=3.0, every=True)) == "Made(1, steps=3.0, every=True)"
    assert constructor_call(Made(1, every=torch.ones(()))) == "Made(1, every=Tensor)"


def test_a_value_that_is_equal_to_its_default_is_left_out_though_it_is_another_object():
    assert constructor_call(Text(tuple("ab"))) == "Text()"
    assert constructor_call(Text(tuple("ba"))) == "Text(names=('b', 'a'))"


def test_several_positions_and_keywords_are_shown_and_at_most_eight_keywords():
    assert constructor_call(Several("a", 2, b=3)) == "Several('a', 2, b=3)"
    assert constructor_call(Several(**dict.fromkeys("abcdefgh", 1))).count("=1") == 8
    nine = constructor_call(Several(**dict.fromkeys("abcdefghi", 1)))
    assert nine.endswith("h=1, …)")


def test_positions_and_keywords_that_are_no_containers_any_more_are_left_out():
    made = Several("a", b=3)
    made.metrics, made.options = None, None
    assert constructor_call(made) == "Several()"


def test_the_arguments_of_parts_are_found_in_them():
    class Outer:
        def __init__(self, rate, inner):
            self.part = Made(rate)
            self.inner = inner

    assert constructor_call(Outer(0.1, 2), parts=("part", "missing")) == "Outer(0.1, 2)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (2.5, "2.5"),
        (range(3), "range(0, 3)"),
        (torch.float16, "torch.float16"),
        (torch.zeros(3), "Tensor"),
        (len, "len"),
        (Made(1), "Made"),
        (Path("runs/a"), "'runs/a'"),
        (Path.cwd() / "runs", "'runs'"),
        (Path("/elsewhere/a"), "'/elsewhere/a'"),
        ({"a": 1, "token": "x"}, "{'a': 1, 'token': ***}"),
        (dict.fromkeys(range(7), 0), "{0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, …}"),
        (list(range(7)), "[0, 1, 2, 3, 4, 5, ...]"),
        ("https://me:pw@host", "'https://***@host'"),
    ],
)
def test_a_value_is_shown_in_a_few_words(value, text):
    assert shown("value", value) == text
