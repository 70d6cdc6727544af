from typing import ClassVar

import pytest
from helpers import batches, trainer_of

from trackside.events import AttachError


class Scale:
    reads = ("xb",)
    writes: ClassVar = {"after_loss": ("loss",)}

    def after_loss(self, trainer, state):
        state.loss = state.loss * 2


class Shift:
    writes: ClassVar = {"after_loss": ("loss",)}

    def after_loss(self, trainer, state):
        state.loss = state.loss + 1


class ShiftLater(Shift):
    runs_after = ("Scale",)


class Between:
    runs_after = ("Scale",)
    runs_before = ("Shift",)

    def after_loss(self, trainer, state):
        pass


class Rates:
    writes: ClassVar = {"begin_batch": ("optimizer.lr",), "after_pred": ("loss",)}

    def __init__(self, of=None):
        self.of = of

    def begin_batch(self, trainer, state):
        pass


class Groups:
    writes: ClassVar = {"begin_batch": ("optimizer",)}

    def __init__(self, of=None):
        self.of = of

    def begin_batch(self, trainer, state):
        pass


class Reader:
    reads = ("loss", "step")

    def after_loss(self, trainer, state):
        pass


def found(*handlers):
    return [conflict[:4] for conflict in trainer_of(*handlers).conflicts]


def test_two_writers_of_one_field_at_one_signal_are_in_conflict():
    assert found(Scale(), Shift()) == [("Scale", "Shift", "loss", "after_loss")]
    assert found(Shift(), Scale()) == [("Shift", "Scale", "loss", "after_loss")]


@pytest.mark.parametrize(
    "handlers",
    [
        (Scale(), ShiftLater()),  # ordered
        (Scale(), Scale()),  # of one class: ordered by attaching them
        (Scale(), Rates()),  # at different signals
        (Scale(), Reader()),
        (Rates(of="a"), Groups(of="b")),
    ],
)
def test_others_are_not(handlers):
    assert found(*handlers) == []


def test_an_order_through_another_handler_counts():
    assert found(Scale(), Shift(), Between()) == []


def test_a_part_and_the_whole_of_it_are_the_same():
    assert found(Rates(), Groups()) == [("Rates", "Groups", "optimizer.lr", "begin_batch")]


def test_the_fit_warns_and_explain_says_so():
    trainer = trainer_of(Scale(), Shift(), Reader())
    text = (
        "Scale and Shift both write loss at after_loss; Reader reads it. No order of the two is "
        "declared, so Scale runs first, as it was attached first; give one of the classes "
        "runs_after or runs_before"
    )
    assert trainer.explain("after_loss").splitlines()[-1] == text
    assert "both write" not in trainer.explain("begin_batch")
    with pytest.warns(UserWarning, match="Scale and Shift both write loss"):
        trainer.fit(batches())


def test_a_chart_with_other_names_is_understood():
    from trackside.engine import SUPERVISED

    chart = SUPERVISED.renamed({"batch": "example"})
    conflicts = trainer_of(Rates(), Groups(), chart=chart).conflicts
    assert [conflict.signal for conflict in conflicts] == ["begin_example"]


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("writes", {"after_loss": ("los",)}, r"writes\['after_loss'\].*'los'; did you mean loss"),
        ("writes", {"after_los": ("loss",)}, "no signal 'after_los'; did you mean after_loss"),
        ("writes", {"after_loss": "loss"}, "is a str; allowed: a tuple of names"),
        ("writes", ("loss",), "is a tuple; allowed: a mapping of signals"),
        ("reads", ("lss",), "Scale.reads: .*'lss'; did you mean loss"),
        ("reads", "loss", "Scale.reads is a str; allowed: a tuple"),
        ("reads", 0, "Scale.reads is a int; allowed: .* anything else needs another name"),
        ("writes", 0, "Scale.writes is a int; allowed: .* anything else needs another name"),
        ("reads", (3,), "3 is a int"),
    ],
)
def test_what_does_not_exist_is_refused_at_attach(attribute, value, message):
    handler = Scale()
    setattr(handler, attribute, value)
    with pytest.raises((AttachError, TypeError, ValueError), match=message):
        trainer_of(handler)
