import copy
import errno
import itertools
import json
import os
import sys
import threading

import pytest
import torch
from forked import run_forked
from helpers import (
    CANCELS,
    batches,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from states import same

from trackside.engine import CheckpointError, Engine, ResumeError, latest, read_checkpoint
from trackside.engine.loop.activities import ACTIVITIES
from trackside.engine.statechart.chart import SUPERVISED
from trackside.events import AttachError, CancelFitException, Transition
from trackside.handlers import Checkpoint, History, Metrics


class Draws:
    """Makes every batch depend on the random generator, so that a wrong state is detected."""

    def begin_batch(self, trainer, state):
        state.xb = state.xb + torch.randn_like(state.xb) / 10


def trainer_with(folder, *handlers, **options):
    torch.manual_seed(0)
    checkpoint = Checkpoint(folder, **options)
    trainer = trainer_of(Draws(), Metrics(), *handlers, checkpoint)
    return trainer, checkpoint


def fitted(folder, *handlers, of=3, **options):
    trainer, checkpoint = trainer_with(folder, *handlers, **options)
    trainer.fit(batches(5), batches(2), epochs=of)
    return trainer, checkpoint


def resumed(path, *handlers, **options):
    """A fit resumed from a checkpoint, in a trainer whose generators have another state."""
    trainer, checkpoint = trainer_with(path.parent, *handlers, **options)
    torch.manual_seed(4711)
    trainer.fit(batches(5), batches(2), resume=path)
    return trainer, checkpoint


def steps(folder):
    return [int(path.name.removeprefix("step-")) for path in sorted(folder.glob("step-*"))]


def facts(path):
    return json.loads((path / "manifest.json").read_text())["facts"]


@pytest.fixture
def undisturbed(tmp_path):
    return weights(fitted(tmp_path / "undisturbed")[0])


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({"steps": 4}, [4, 8, 12]),
        ({"epochs": 2}, [10]),
        ({}, [5, 10, 15]),
        ({"steps": 6, "epochs": 3}, [6, 12, 15]),
        ({"steps": 5}, [5, 10, 15]),
    ],
)
def test_it_saves_every_n_steps_and_every_n_epochs(tmp_path, options, written):
    fitted(tmp_path, **options)
    assert steps(tmp_path) == written


def test_it_saves_every_n_minutes_since_the_last_save(tmp_path):
    now = {"time": 0.0}
    trainer, _ = trainer_with(tmp_path, minutes=2, steps=6, clock=lambda: now["time"])
    trainer.on("after_step")(lambda trainer, state: now.update(time=now["time"] + 50))
    trainer.fit(batches(10))
    assert steps(tmp_path) == [3, 6, 9]
    assert [facts(path)["why"] for path in sorted(tmp_path.glob("step-*"))] == [
        "2 minutes",
        "step 6",
        "2 minutes",
    ]


def test_without_minutes_the_clock_is_not_read(tmp_path):
    fitted(tmp_path, steps=1, clock=lambda: pytest.fail("the clock was read"))


@pytest.mark.parametrize("async_save", [False, True])
@pytest.mark.parametrize("options", [{"steps": 1, "keep_last": None}, {"keep_last": None}])
def test_a_fit_resumes_from_each_checkpoint_bit_for_bit(tmp_path, undisturbed, options, async_save):
    trainer, _ = fitted(tmp_path / "a", async_save=async_save, **options)
    assert equal(weights(trainer), undisturbed)
    for path in list((tmp_path / "a").iterdir()):
        if path.is_dir():
            rest, _ = resumed(path)
            assert equal(weights(rest), undisturbed)
            assert rest.state.step == 15


def test_a_resumed_fit_saves_like_an_uninterrupted_one(tmp_path):
    fitted(tmp_path / "whole", steps=4, keep_last=None)
    trainer, _ = trainer_with(tmp_path / "cut", steps=4, keep_last=None)
    trainer.on("after_step", every=9)(cancel_the_fit)
    trainer.fit(batches(5), batches(2), epochs=3)
    resumed(latest(tmp_path / "cut"), steps=4, keep_last=None)
    assert set(steps(tmp_path / "cut")) >= set(steps(tmp_path / "whole"))


def cancel_the_fit(trainer, state):
    raise CancelFitException("enough")


@pytest.mark.parametrize("keep_last", [1, 2, None])
def test_the_newest_checkpoints_are_kept(tmp_path, keep_last):
    fitted(tmp_path, steps=3, keep_last=keep_last)
    assert steps(tmp_path) == [3, 6, 9, 12, 15][-(keep_last or 0) :]


class Scores:
    """Writes a score to the metrics of each epoch."""

    runs_after = ("Metrics",)

    def __init__(self, *values):
        self.values = values

    def after_epoch(self, trainer, state):
        if self.values[state.epoch] is not None:
            state.metrics["score"] = self.values[state.epoch]


NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "mode", "keep_best", "written", "best"),
    [
        ((3.0, 1.0, 2.0), "min", 1, [10], 10),
        ((3.0, 1.0, 2.0), "max", 1, [5], 5),
        ((3.0, 1.0, 2.0), "min", 2, [10, 15], 10),
        ((NAN, 1.0, NAN), "min", 1, [10], 10),
        ((None, 1.0, None), "max", 2, [10], 10),
        ((1.0, 1.0, 1.0), "min", 1, [5], 5),
        ((torch.tensor(2.0), torch.tensor(1.0), torch.tensor([1.0, 2.0])), "min", 1, [10], 10),
    ],
)
@pytest.mark.filterwarnings("ignore:Checkpoint found no metric")
def test_the_best_of_a_metric_are_kept(tmp_path, scores, mode, keep_best, written, best):
    options = {"metric": "score", "mode": mode, "keep_best": keep_best, "keep_last": 1}
    _, checkpoint = fitted(tmp_path, Scores(*scores), **options)
    assert steps(tmp_path) == written
    assert checkpoint.best == tmp_path / f"step-{best:012}"


def test_the_best_is_kept_in_addition_to_the_newest(tmp_path):
    scores = Scores(3.0, 1.0, 2.0, 2.5, 2.0)
    _, checkpoint = fitted(tmp_path, scores, of=5, steps=4, metric="score", keep_last=2)
    assert steps(tmp_path) == [10, 20, 24]
    assert checkpoint.best == tmp_path / "step-000000000010"
    assert checkpoint.last == tmp_path / "step-000000000024"
    assert facts(checkpoint.best)["metrics"]["score"] == 1.0


def test_the_best_before_a_resume_counts_after_the_resume(tmp_path):
    scores = Scores(1.0, 2.0, 3.0)
    trainer, _ = trainer_with(tmp_path, scores, metric="score", epochs=1)
    trainer.on("after_epoch", every=2)(cancel_the_fit)
    trainer.fit(batches(5), batches(2), epochs=3)
    _, checkpoint = resumed(latest(tmp_path), scores, metric="score", epochs=1)
    assert checkpoint.best == tmp_path / "step-000000000005"


def test_a_missing_metric_is_warned_about_once(tmp_path):
    with pytest.warns(UserWarning, match="no metric 'acuracy'.*valid_loss") as caught:
        fitted(tmp_path, metric="acuracy")
    assert len(caught) == 1
    assert steps(tmp_path) == []


def test_a_cancelled_fit_is_saved_at_its_position(tmp_path, undisturbed):
    trainer, _ = trainer_with(tmp_path)
    trainer.on("after_batch", every=3)(cancel_the_fit)
    trainer.fit(batches(5), batches(2), epochs=3)
    assert steps(tmp_path) == [3]
    assert facts(latest(tmp_path))["why"] == "cancelled"
    rest, _ = resumed(latest(tmp_path))
    assert equal(weights(rest), undisturbed)


@pytest.mark.parametrize("signal", ["after_epoch", "after_train", "after_validate", "begin_train"])
def test_a_fit_cancelled_at_a_boundary_resumes_bit_for_bit(tmp_path, signal):
    whole, history = History(), History()
    undisturbed, _ = fitted(tmp_path / "whole", whole)
    trainer, _ = trainer_with(tmp_path / "cut", History())
    trainer.on(signal, every=2)(cancel_the_fit)
    trainer.fit(batches(5), batches(2), epochs=3)
    rest, _ = resumed(latest(tmp_path / "cut"), history)
    assert equal(weights(rest), weights(undisturbed))
    assert history.rows == whole.rows


@every_cancel
def test_after_any_cancel_the_fit_resumes_from_the_saved_state(tmp_path, signal, scope):
    trainer, _ = trainer_with(tmp_path, steps=100)
    if signal.startswith("after_cancel_"):
        inner = signal.removeprefix("after_cancel_")
        raise_at(trainer, f"begin_{inner}", CANCELS[inner], within=scope)
    raise_at(trainer, signal, CANCELS[scope])
    trainer.fit(batches(5), batches(2), epochs=3)
    saved = steps(tmp_path)
    if scope != "fit":
        assert saved == []
    elif saved:
        rest, _ = resumed(latest(tmp_path))
        assert rest.state.outcome == "completed"
        assert rest.state.epoch == 2
    else:
        assert trainer.state.epoch == -1, "no epoch had begun"


def failing(trainer, state):
    raise ValueError("on purpose")


@pytest.mark.parametrize(
    "signal", ["begin_batch", "after_loss", "after_backward", "after_step", "after_batch"]
)
def test_after_an_error_it_resumes_as_if_the_batch_was_cancelled(tmp_path, signal):
    trainer, _ = trainer_with(tmp_path)
    trainer.on(signal, every=3)(failing)
    with pytest.raises(ValueError, match="on purpose"):
        trainer.fit(batches(5), batches(2), epochs=3)
    assert facts(latest(tmp_path))["why"] == "failed"
    rest, _ = resumed(latest(tmp_path))
    assert rest.state.outcome == "completed"
    assert rest.state.samples == 60


def test_after_a_loader_error_the_same_batch_is_fetched_again(tmp_path, undisturbed):
    def broken():
        yield from batches(5)[:2]
        raise ValueError("on purpose")

    class Broken(list):
        def __iter__(self):
            return broken()

    trainer, _ = trainer_with(tmp_path)
    with pytest.raises(ValueError, match="on purpose"):
        trainer.fit(Broken(batches(5)), batches(2), epochs=3)
    rest, _ = resumed(latest(tmp_path))
    assert equal(weights(rest), undisturbed)


class FailsInStep(torch.optim.SGD):
    def step(self, closure=None):
        raise ValueError("on purpose")


def test_after_an_error_in_a_step_nothing_is_saved(tmp_path):
    net = model()
    checkpoint = Checkpoint(tmp_path)
    trainer = trainer_of(checkpoint, net=net, optimizer=FailsInStep(net.parameters(), lr=0.1))
    with (
        pytest.raises(ValueError, match="on purpose"),
        pytest.warns(UserWarning, match="half updated"),
    ):
        trainer.fit(batches(3))
    assert steps(tmp_path) == []


def test_a_transition_that_it_is_told_of_is_one_that_it_hears(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    trainer = trainer_of(checkpoint)
    trainer.state.error = ValueError()
    step = Transition("after_step", "fit.epoch.train.batch.step", "fit.epoch.train.batch")
    with pytest.warns(UserWarning, match="half updated"):
        checkpoint.any_transition(trainer, trainer.state, step)
    begins = Transition("begin_batch", "fit.epoch.train.fetch", "fit.epoch.train.batch.forward")
    checkpoint.any_transition(trainer, trainer.state, begins)
    assert steps(tmp_path) == []


def test_an_interrupted_fit_is_saved_too(tmp_path):
    def interrupt(trainer, state):
        raise KeyboardInterrupt

    trainer, _ = trainer_with(tmp_path)
    trainer.on("after_batch", every=3)(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches(5), epochs=3)
    assert steps(tmp_path) == [3]


@pytest.mark.parametrize("option", ["on_cancel", "on_failure"])
def test_on_cancel_and_on_failure_can_be_turned_off(tmp_path, option):
    trainer, _ = trainer_with(tmp_path, **{option: False})
    trainer.on("after_batch", once=True)(cancel_the_fit if option == "on_cancel" else failing)
    try:
        trainer.fit(batches(5))
    except ValueError:
        assert option == "on_failure"
    assert steps(tmp_path) == []


def test_validate_outside_of_a_fit_saves_nothing(tmp_path):
    trainer, _ = fitted(tmp_path, steps=5)
    before = steps(tmp_path)
    trainer.validate(batches(3))
    trainer.predict(batches(3))
    assert steps(tmp_path) == before


def test_it_saves_in_the_middle_of_a_validation(tmp_path, undisturbed):
    now = {"time": 0.0}

    def tick(trainer, state):
        now["time"] += 0 if state.training else 60

    trainer, _ = trainer_with(tmp_path, minutes=1, keep_last=None, clock=lambda: now["time"])
    trainer.on("after_batch")(tick)
    trainer.fit(batches(5), batches(2), epochs=3)
    inside = [p for p in tmp_path.glob("step-*") if "validate" in facts(p)["phase"]]
    assert len(inside) == 6
    for path in inside:
        assert equal(weights(resumed(path, keep_last=None)[0]), undisturbed)


def test_a_new_fit_in_the_folder_of_another_one_is_refused(tmp_path):
    fitted(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoints of another fit.*resume="):
        fitted(tmp_path)
    assert steps(tmp_path) == [5, 10, 15]


def test_a_new_fit_is_refused_beside_damaged_checkpoints_too(tmp_path):
    _, checkpoint = fitted(tmp_path, keep_last=1)
    (checkpoint.last / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="checkpoints of another fit"):
        fitted(tmp_path)


class Holds:
    def __init__(self, value):
        self.value = value

    def begin_fit(self, trainer, state):
        pass

    def state_dict(self):
        return {"best": [self.value]}

    def load_state_dict(self, state):
        pass


def test_an_unsavable_handler_state_is_reported_with_its_key(tmp_path):
    with pytest.raises(TypeError, match=r"handler Holds.*\['best'\]\[0\] is a set") as caught:
        fitted(tmp_path, Holds({1}), steps=1)
    assert not any("during the unwinding" in note for note in caught.value.__notes__)
    assert steps(tmp_path) == []


@pytest.mark.parametrize("value", [torch.empty(2, device="meta"), torch.nn.UninitializedBuffer()])
def test_an_unloadable_tensor_is_refused(tmp_path, value):
    with pytest.raises(TypeError, match=r"handler Holds.*\['best'\]\[0\] is a"):
        fitted(tmp_path, Holds(value), steps=1)


def full_disk(monkeypatch, after):
    """Let every write fail with a full disk, after some writes."""
    real, count = os.write, 0

    def write(file, data):
        nonlocal count
        count += 1
        if count > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data)

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("async_save", [False, True])
def test_a_failed_write_ends_the_fit_and_keeps_earlier_checkpoints(
    tmp_path, monkeypatch, async_save
):
    full_disk(monkeypatch, after=12)
    with pytest.raises(OSError, match="No space left") as caught:
        fitted(tmp_path, steps=1, async_save=async_save)
    monkeypatch.undo()
    notes = "".join(caught.value.__notes__)
    assert "trackside: the checkpoint " in notes
    assert " was not written" in notes
    assert "during the unwinding" not in notes
    assert read_checkpoint(tmp_path)["position"]["step"] >= 1
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".tmp")] == []


def test_an_error_of_the_last_background_write_is_raised(tmp_path, monkeypatch):
    full_disk(monkeypatch, after=0)
    with pytest.raises(OSError, match="No space left"):
        fitted(tmp_path, epochs=1, async_save=True)


def test_async_save_continues_training_and_the_next_save_waits(tmp_path, monkeypatch):
    trainer, checkpoint = trainer_with(tmp_path, steps=2, async_save=True, keep_last=None)
    batches_behind, may_write = [], threading.Event()
    save = checkpoint._store.save
    threads = set()

    def slow(*arguments):
        threads.add(threading.current_thread())
        assert may_write.wait(60)
        return save(*arguments)

    def note(trainer, state):
        batches_behind.append(len(steps(tmp_path)))
        if state.step == 3:
            may_write.set()

    monkeypatch.setattr(checkpoint._store, "save", slow)
    trainer.on("after_batch")(note)
    trainer.fit(batches(8))
    assert batches_behind[:3] == [0, 0, 0]
    assert steps(tmp_path) == [2, 4, 6, 8]
    (thread,) = threads
    assert thread is not threading.main_thread()
    thread.join(60)
    assert not thread.is_alive(), "it lives longer than the fit"


def test_async_save_writes_the_state_at_the_boundary(tmp_path):
    trainer, _ = trainer_with(tmp_path, async_save=True, keep_last=None)
    kept = []
    trainer.on("after_epoch")(lambda trainer, state: kept.append(weights(trainer)))
    trainer.fit(batches(5), batches(2), epochs=3)
    for there, path in zip(kept, sorted(tmp_path.glob("step-*")), strict=True):
        saved = read_checkpoint(path)["model"]
        assert equal([saved[name] for name in model().state_dict()], there)


def test_attaching_to_a_trainer_that_cannot_save_is_refused():
    engine = Engine(SUPERVISED, ACTIVITIES, state_of())
    with pytest.raises(AttachError, match=r"cannot be attached to a Engine: it has no checkpoints"):
        engine.attach(Checkpoint("runs"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, r"Checkpoint\(steps=0\)"),
        ({"steps": 1.5}, r"Checkpoint\(steps=1.5\)"),
        ({"epochs": True}, r"Checkpoint\(epochs=True\)"),
        ({"minutes": 0}, r"Checkpoint\(minutes=0\)"),
        ({"minutes": float("nan")}, r"Checkpoint\(minutes=nan\)"),
        ({"mode": "best"}, r"Checkpoint\(mode='best'\)"),
        ({"keep_last": 0}, r"Checkpoint\(keep_last=0\)"),
        ({"keep_best": None}, r"Checkpoint\(keep_best=None\)"),
    ],
)
def test_invalid_arguments_raise(options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        Checkpoint("runs", **options)


ENDS = """
import itertools, sys, warnings

warnings.simplefilter("error")
import torch
from trackside.engine import Trainer
from trackside.handlers import Checkpoint

model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
checkpoint = Checkpoint(sys.argv[1], async_save=sys.argv[2] == "async")
trainer = Trainer(model, torch.nn.MSELoss(), optimizer, [checkpoint])
run = trainer.start(itertools.repeat((torch.ones(3, 4), torch.ones(3, 2))))
run.wait_for("fit.epoch.train.batch.step")
"""


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_process_that_exits_during_a_background_fit_saves_it(tmp_path, how):
    done = run_forked([sys.executable, "-c", ENDS, str(tmp_path / "runs"), how])
    assert (done.returncode, done.stderr) == (0, "")
    assert facts(latest(tmp_path / "runs"))["why"] == "cancelled"


LEAVES = """
import sys
import warnings

warnings.simplefilter("error")
import torch
from trackside.engine import Trainer
from trackside.handlers import Checkpoint

model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
checkpoint = Checkpoint(sys.argv[1], steps=2)
trainer = Trainer(model, torch.nn.MSELoss(), optimizer, [checkpoint])
run = trainer.steps([(torch.ones(3, 4), torch.ones(3, 2))] * 9)
warnings.run = run  # this module keeps its content longer than those of trackside
while trainer.state.step < 3:
    next(run)
"""


def test_a_process_that_exits_with_an_open_iterator_closes_and_saves_it(tmp_path):
    done = run_forked([sys.executable, "-c", LEAVES, str(tmp_path / "runs")])
    assert (done.returncode, done.stderr) == (0, "")
    assert latest(tmp_path / "runs").name == "step-000000000003"


def test_a_fit_resumes_without_the_handler_too(tmp_path, undisturbed):
    fitted(tmp_path, steps=4)
    rest = trainer_of(Draws(), Metrics())
    rest.fit(batches(5), batches(2), resume=tmp_path)
    assert equal(weights(rest), undisturbed)


def another_model(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 3))
    return trainer_of(Metrics(), net=net), ResumeError, r"another model.*0\.weight is \(8, 5\)"


def another_chart(tmp_path):
    chart = [*SUPERVISED, ("begin_train", "fit.epoch.trained", "fit.epoch.train.fetch")]
    return trainer_of(Metrics(), chart=chart), ResumeError, "another chart.*begin_train"


def newer_format(tmp_path):
    for path in tmp_path.glob("step-*/manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    return trainer_of(Metrics()), CheckpointError, "newer trackside"


def all_damaged(tmp_path):
    for path in tmp_path.glob("step-*/state.pt"):
        path.write_bytes(b"")
    return trainer_of(Metrics()), CheckpointError, "every checkpoint in .* is damaged"


def nothing_there(tmp_path):
    for path in tmp_path.glob("step-*"):
        path.rename(path.with_name("moved-" + path.name))
    return trainer_of(Metrics()), CheckpointError, "there is no checkpoint"


@pytest.mark.parametrize(
    "make", [another_model, another_chart, newer_format, all_damaged, nothing_there]
)
@pytest.mark.filterwarnings("ignore:skipping a damaged checkpoint")
def test_an_unusable_checkpoint_is_refused_and_changes_nothing(tmp_path, make):
    fitted(tmp_path, steps=4)
    trainer, error, said = make(tmp_path)
    transitions = []
    trainer.on("any_transition")(lambda trainer, state, transition: transitions.append(transition))
    before, generator = trainer.state_dict(), torch.get_rng_state()
    before = copy.deepcopy(before)
    with pytest.raises(error, match=said):
        trainer.fit(batches(5), batches(2), resume=tmp_path)
    assert same(trainer.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert transitions == []


def test_the_folder_is_unlocked_after_the_fit_and_after_detach(tmp_path):
    trainer, checkpoint = fitted(tmp_path / "a")
    trainer.detach(checkpoint)
    assert not checkpoint._store._store._lock.is_held


def folded(*made):
    """A trainer whose run is two fits, one after the other."""
    triggers = itertools.cycle(["begin_fold", "begin_fold", "after_folds"])
    chart = SUPERVISED.inside("folds.fold")
    return trainer_of(*made, chart=chart, activities={"folds.ready": lambda s: next(triggers)})


def test_fits_inside_other_scopes_are_saved_to_one_folder(tmp_path):
    trainer = folded(Checkpoint(tmp_path, epochs=1, keep_last=None))
    trainer.fit(batches(2), epochs=1)
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        "step-000000000002",
        "step-000000000002.2",
    ]
    with pytest.raises(CheckpointError, match="contains checkpoints of another fit"):
        trainer.fit(batches(2))


def test_the_best_weights_of_one_fit_are_not_restored_in_another(tmp_path):
    with pytest.raises(AttachError, match="fits inside other scopes"):
        folded(Checkpoint(tmp_path, metric="valid_loss", restore_best=True))
