"""The docstring of the loop follows a batch and a cancel through the code as it runs."""

import gc
import re
import sys

import pytest
from helpers import batches, trainer_of

import trackside.engine.loop as loop
from trackside.events import CancelBatchException

STEP = re.compile(r"^    ((?:[a-z]\w*\.)+?)([A-Z][\w.]+|\w+)  +\S", re.MULTILINE)
NAMED_FILE = re.compile(r"`((?:statechart|events)\.\w+)`")
OF_A_BATCH, OF_A_CANCEL = re.split(r"\n\n(?=One cancel)", loop.__doc__.partition("One batch.")[2])


def steps(text):
    """(module, function) of each step that the docstring names."""
    return [(f"engine.{module[:-1]}", function) for module, function in STEP.findall(text)]


def files(text):
    """The modules that a reader of `text` has to open."""
    named = NAMED_FILE.findall(text)
    wings = {name if name.startswith("events") else f"engine.{name}" for name in named}
    return {module for module, _ in steps(text)} | wings


@pytest.fixture(scope="module")
def calls():
    """(module, function, its caller) of the project's calls in a fit; batch 1 is cancelled."""
    called = []

    def profile(frame, event, argument):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("trackside."):
            code, caller = frame.f_code, frame.f_back.f_code
            called.append((module.removeprefix("trackside."), code.co_qualname, caller.co_qualname))

    trainer = trainer_of()

    @trainer.on("after_pred")
    def request(trainer, state):
        if state.batch_index == 1:
            trainer.request(CancelBatchException("enough"))

    gc.collect()
    gc.disable()  # what is collected within the fit is another test's, and calls the project, too
    sys.setprofile(profile)
    try:
        trainer.fit(batches(4))
    finally:
        sys.setprofile(None)
        gc.enable()
    return called


def of_batch(calls, index):
    """The calls from the fetch of a batch to the fetch of the next one, both included."""
    fetches = [n for n, call in enumerate(calls) if call[1] == "fetch_training"]
    return calls[fetches[index] : fetches[index + 1] + 1]


def from_request(calls):
    """Those of them from the request of a cancel on."""
    return calls[[name for _, name, _ in calls].index("Engine.request") :]


def test_a_batch_calls_the_named_functions_in_that_order_and_no_other(calls):
    called = [(module, name) for module, name, _ in of_batch(calls, 2)[:-1]]
    called = [call for call in called if "<" not in call[1]]
    assert [("engine.loop.run_loop", "RunLoop.transitions"), *called] == steps(OF_A_BATCH)


def test_the_loop_calls_each_activity_of_a_batch(calls):
    activities = [call for call in of_batch(calls, 2) if call[0] == "engine.loop.activities"]
    assert {caller for _, _, caller in activities} == {"RunLoop.transitions"}


def test_a_cancel_calls_the_named_functions_in_that_order(calls):
    called = iter([(module, name) for module, name, _ in from_request(of_batch(calls, 1))])
    assert [step for step in steps(OF_A_CANCEL) if step not in called] == []
    assert steps(OF_A_CANCEL)[0] == ("engine.engine", "Engine.request")


def test_a_batch_is_followed_through_five_files_and_a_cancel_through_eight(calls):
    ways = (
        (OF_A_BATCH, of_batch(calls, 2), 5),
        (OF_A_CANCEL, from_request(of_batch(calls, 1)), 8),
    )
    for text, called, limit in ways:
        assert {module for module, _, _ in called} <= files(text)
        assert len(files(text)) <= limit
