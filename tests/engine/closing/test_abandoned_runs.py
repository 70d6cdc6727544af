import sys

from forked import run_forked

from trackside.engine.closing.abandoned_runs import _close

LEFT_OPEN = """
import sys, warnings
sys.path.insert(0, sys.argv[1])
from helpers import batches, trainer_of

def fail(trainer, state):
    raise LookupError(f"of {trainer.name}")

runs = warnings.runs = []  # a module that keeps its content longer than this one
for name in "ab":
    trainer = trainer_of(name=name)
    trainer.on("after_cancel_fit")(fail)
    trainer.on("after_fit")(lambda trainer, state: print(trainer.name, "closed", flush=True))
    runs.append(trainer.steps(batches(2)))
    next(runs[-1])
"""


def test_an_error_of_one_open_run_does_not_keep_the_others_open_when_the_program_ends():
    done = run_forked([sys.executable, "-c", LEFT_OPEN, "tests"])
    assert sorted(done.stdout.splitlines()) == ["a closed", "b closed"]
    assert "LookupError: of " in done.stderr


def test_a_run_whose_thread_is_still_there_is_left_to_it():
    def steps():
        _close(run)  # as another thread would, at this moment
        yield "goes on"

    run = steps()
    assert next(run) == "goes on"
    _close(run)
    assert [*run] == []
