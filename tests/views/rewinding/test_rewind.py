import io
import random
import sys

import pytest
import torch
from forked import WITH_TEST_HELPERS, run_forked
from helpers import equal
from rewound import EXAMPLES, SIZE, job, run, stopping_on_nan

from trackside import CancelFitException, Checkpoint, CSVLogger, GradientAccumulation
from trackside.views import Job, RewindError, rewind
from trackside.views.commands.main import main
from trackside.views.output.usage_error import UsageError
from trackside.views.rewinding.stop_condition import StopCondition

STEPS = 3 * EXAMPLES // SIZE


@pytest.mark.parametrize("step", [5, 6, 13, 35])
def test_the_batch_of_a_step_is_had_again_bit_for_bit(tmp_path, step):
    seen = run(tmp_path)
    trainer = rewind(job, tmp_path, step)
    assert trainer.state.step == step
    assert torch.equal(trainer.state.xb, seen.inputs[step])
    assert equal([*trainer.state.model.parameters()], seen.weights[step])


def test_the_trainer_goes_on_one_transition_at_a_time(tmp_path):
    seen = run(tmp_path)
    trainer = rewind(job, tmp_path, 7)
    assert [trainer.step().trigger for _ in range(2)] == ["after_pred", "after_loss"]
    assert torch.equal(trainer.state.loss, seen.losses[7])
    while trainer.step() is not None:
        pass
    assert (trainer.state.outcome, trainer.state.step) == ("completed", STEPS)


def test_a_nan_planted_in_a_random_example_is_found_bit_for_bit(tmp_path):
    for bad in random.Random(1).sample(range(EXAMPLES), SIZE + 1):
        folder = tmp_path / f"{bad}"
        seen = run(folder, bad=bad, every=1)
        first = next(n for n, inputs in enumerate(seen.inputs) if inputs.isnan().any())
        if first > 0:  # no checkpoint is before the first batch
            break
    trainer = rewind(lambda: job(bad=bad), folder, until="nan")
    state = trainer.state
    assert state.step == first
    assert torch.equal(state.xb.nan_to_num(99.0), seen.inputs[first].nan_to_num(99.0))
    assert state.phase.endswith("scored")


def test_a_condition_finds_the_first_batch_for_which_it_is_true(tmp_path):
    seen = run(tmp_path)
    limit = sorted(loss.item() for loss in seen.losses)[-4]
    expected = next(n for n, loss in enumerate(seen.losses) if n >= 5 and loss.item() > limit)
    trainer = rewind(job, tmp_path, until=f"loss > {limit!r}")
    assert (trainer.state.step, trainer.state.loss.item()) == (
        expected,
        seen.losses[expected].item(),
    )


def test_a_condition_after_a_step_begins_there(tmp_path):
    run(tmp_path)
    assert rewind(job, tmp_path, 12, until="loss > 0").state.step == 12


def test_a_nan_that_a_handler_stops_at_is_found_too(tmp_path):
    run(tmp_path, every=1)
    trainer = rewind(stopping_on_nan, tmp_path, until="nan")
    assert trainer.state.xb.isnan().any()


def test_it_stops_after_the_receivers_of_any_signal(tmp_path):
    run(tmp_path)
    trainer = rewind(job, tmp_path, 7, at="after_backward")
    assert trainer.state.phase.endswith("differentiated")
    assert all(p.grad is not None for p in trainer.state.model.parameters())


def test_the_first_of_the_batches_of_one_step_is_had(tmp_path):
    seen = run(tmp_path, every=1)
    todo = lambda: job(GradientAccumulation(2))  # noqa: E731
    made = todo()
    made.trainer.attach(Checkpoint(tmp_path / "two", steps=2, keep_last=None))

    @made.trainer.on("begin_batch", when=lambda _, state: state.samples == 12 * SIZE)
    def end(trainer, state):
        raise CancelFitException("between two batches of a step, which is saved")

    torch.manual_seed(11)
    made.trainer.fit(made.train_loader, epochs=2)
    trainer = rewind(todo, tmp_path / "two", 5)
    assert (trainer.state.step, trainer.state.samples) == (5, 11 * SIZE)
    assert seen.inputs[10].equal(trainer.state.xb)


def test_nothing_of_the_run_is_changed(tmp_path):
    def with_writers():
        log = CSVLogger(tmp_path / "log.csv", every=1)
        return job(Checkpoint(tmp_path / "c", steps=5, keep_last=2), log)

    made = with_writers()
    made.trainer.fit(made.train_loader, epochs=3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    trainer = rewind(with_writers, tmp_path / "c", 33)
    while trainer.step() is not None:
        pass
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_run_that_is_not_deterministic_is_found_by_a_second_run(tmp_path):
    run(tmp_path)
    calls = []

    def other_each_time():
        calls.append(1)
        made = job()

        @made.trainer.on("begin_batch", when=lambda _, state: state.step == 6)
        def scale(trainer, state):
            state.xb = state.xb * (1 + len(calls))

        return made

    with pytest.raises(RewindError) as caught:
        rewind(other_each_time, tmp_path, 7, twice=True)
    assert "this run is not deterministic" in str(caught.value)
    assert "step 6, begin_batch (epoch 1, batch 7): xb differs" in str(caught.value)
    assert rewind(job, tmp_path, 7, twice=True).state.step == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 3}, "no intact checkpoint before step 3.*the oldest is at step 5"),
        ({"step": STEPS}, f"the run ends after {STEPS} steps: it does not reach step {STEPS}"),
        ({"until": "loss > 1e9"}, "does not reach the condition 'loss > 1e9'"),
        ({"step": 7, "at": "after_los"}, "no such signal; did you mean after_loss"),
        ({"step": 7, "at": "begin_validate"}, "ended without a stop at='begin_validate'"),
        ({"until": "loss > x"}, "'x' is not a number"),
        ({"until": "los > 1"}, "no field 'los'; did you mean loss"),
        ({"until": "pred > 1"}, "pred is a Tensor, not one number"),
        ({"until": "__import__('os')"}, "cannot read the condition"),
        ({"until": "nan", "at": "begin_batch"}, "not known then"),
        ({"until": "nan", "before": "begin_batch"}, "not known then"),
        ({"step": 7, "at": "after_loss", "before": "after_pred"}, "allowed: one of the two"),
        ({"step": 7, "before": "after_los"}, "no such signal; did you mean after_loss"),
        (
            {"step": 7, "until": "loss > 0", "before": "after_pred"},
            r"\(step 7\) ended .*rewind\(step=7, before='after_pred'\) stops in that batch",
        ),
        ({}, "neither step nor until"),
    ],
)
def test_what_cannot_be_had_is_said(tmp_path, arguments, message):
    run(tmp_path)
    with pytest.raises(UsageError, match=message):
        rewind(job, tmp_path, **arguments)


def test_a_folder_without_checkpoints_is_said(tmp_path):
    with pytest.raises(RewindError, match="there is no checkpoint in"):
        rewind(job, tmp_path, 3)


@pytest.mark.parametrize("text", ["loss >5", "optimizer.lr<=0.1", "metrics.valid_loss != -1e-3"])
def test_conditions_that_can_be_read(text):
    assert StopCondition.parse(text).text == text


def test_the_command_writes_the_batch_and_what_was_computed(tmp_path, capsys):
    seen = run(tmp_path)
    file = tmp_path / "batch.pt"
    assert main(["rewind", str(tmp_path), "rewound:job", "--step", "7", "--dump", str(file)]) == 0
    content = torch.load(file, weights_only=True)
    assert torch.equal(content["xb"], seen.inputs[7])
    assert torch.equal(content["loss"], seen.losses[7])
    assert content["pred"].shape == (SIZE, 3)
    assert {*content["gradients"]} == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert "step 7, epoch 1, batch 8" in capsys.readouterr().out


def test_the_command_opens_a_prompt_with_the_trainer(tmp_path, capsys, monkeypatch):
    run(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "IPython", None)
    monkeypatch.setattr("sys.stdin", io.StringIO("print('at', state.step, step().trigger)\n"))
    assert main(["rewind", str(tmp_path), "rewound:job", "--step", "9"]) == 0
    assert "at 9 after_pred" in capsys.readouterr().out


def test_the_prompt_is_that_of_ipython_where_it_is_installed(tmp_path):
    run(tmp_path)
    words = ["rewind", str(tmp_path), "rewound:job", "--step", "9"]
    (tmp_path / "typed").write_text("print('at', state.step, step().trigger)\nget_ipython()\n")
    environment = {**WITH_TEST_HELPERS, "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-m", "trackside", *words]
    with (tmp_path / "typed").open() as typed:
        done = run_forked(command, stdin=typed, env=environment)
    assert done.returncode == 0, done.stderr
    assert "at 9 after_pred" in done.stdout
    assert "TerminalInteractiveShell at " in done.stdout


def test_a_checkpoint_of_another_model_is_refused_in_one_line(tmp_path, capsys):
    run(tmp_path)
    words = ["rewind", str(tmp_path), "commanded:job", "--step", "7", "--width", "3"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "trackside: the state dict is from another model than this Sequential: "
    )
    assert error.count("\n") == 1


def test_the_factory_may_be_given_by_its_target(tmp_path):
    seen = run(tmp_path)
    assert torch.equal(rewind("rewound:job", tmp_path, 7).state.xb, seen.inputs[7])


def test_a_dump_that_fails_while_it_is_written_is_one_line(tmp_path, capsys):
    run(tmp_path)
    words = ["rewind", str(tmp_path), "rewound:job", "--step", "7", "--dump", "/dev/full"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("trackside: cannot write /dev/full: ")
    assert error.count("\n") == 1


def test_a_folder_whose_checkpoints_are_all_damaged_is_said(tmp_path):
    run(tmp_path, every=20)
    for checkpoint in tmp_path.glob("step-*"):
        damage(checkpoint)
    with (
        pytest.warns(UserWarning, match="skipping a damaged checkpoint"),
        pytest.raises(RewindError, match=r"every checkpoint in .* is damaged; a warning describes"),
    ):
        rewind(job, tmp_path, until="nan")


class Stops:
    def begin_batch(self, trainer, state):
        if state.step == 11:
            raise CancelFitException("enough")


def test_a_run_that_a_handler_cancels_before_the_batch_says_which_one(tmp_path):
    run(tmp_path)
    with pytest.raises(RewindError, match=r"after 11 steps, cancelled by handler Stops.*: enough"):
        rewind(lambda: job(Stops()), tmp_path, 12)


def test_an_option_of_the_optimizer_is_a_number_if_it_has_one_group_of_parameters(tmp_path):
    run(tmp_path)
    trainer = rewind(job, tmp_path, until="optimizer.lr > 0")
    assert trainer.state.step == 5


def test_the_command_says_what_it_cannot_do_in_one_line(tmp_path, capsys):
    run(tmp_path)
    assert main(["rewind", str(tmp_path), "rewound:job", "--step", "900"]) == 2
    assert capsys.readouterr().err.startswith("trackside: the run ends after 36 steps")


def scaling():
    """The job of `run`, with a handler that changes inputs and losses."""
    made = job()

    @made.trainer.on("begin_batch")
    def shift(trainer, state):
        state.xb = state.xb + 1

    @made.trainer.on("after_loss")
    def scale(trainer, state):
        state.loss = state.loss * 2

    return made


def test_it_stops_before_the_receivers_of_a_signal_change_anything(tmp_path):
    seen = run(tmp_path)
    trainer = rewind(scaling, tmp_path, 5, before="begin_batch")
    state = trainer.state
    assert torch.equal(state.xb, seen.inputs[5])
    assert trainer.step().trigger == "begin_batch"
    assert torch.equal(state.xb, seen.inputs[5] + 1)
    trainer = rewind(scaling, tmp_path, 5, before="after_loss")
    before = trainer.state.loss.item()
    assert [trainer.step().trigger for _ in range(2)] == ["after_loss", "begin_backward"]
    assert trainer.state.loss.item() == 2 * before


def test_a_condition_may_be_true_before_the_receivers_of_a_signal(tmp_path):
    run(tmp_path)
    trainer = rewind(scaling, tmp_path, 5, until="loss > 0", before="after_loss")
    assert (trainer.state.step, trainer.state.phase.split(".")[-1]) == (5, "loss")


def damage(checkpoint):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")


def test_a_damaged_nearest_checkpoint_is_skipped_with_a_warning(tmp_path):
    seen = run(tmp_path)
    damage(tmp_path / "step-000000000010")
    with pytest.warns(UserWarning, match="skipping a damaged checkpoint: .*000000000010"):
        trainer = rewind(job, tmp_path, 12)
    assert torch.equal(trainer.state.xb, seen.inputs[12])
    damage(tmp_path / "step-000000000005")
    with (
        pytest.warns(UserWarning, match="skipping a damaged checkpoint"),
        pytest.raises(RewindError, match="no intact checkpoint before step 9"),
    ):
        rewind(job, tmp_path, 9)


def test_without_a_step_the_oldest_intact_checkpoint_is_taken(tmp_path):
    run(tmp_path)
    for folder in sorted(tmp_path.glob("step-*"))[:2]:
        damage(folder)
    with pytest.warns(UserWarning, match="skipping a damaged checkpoint"):
        assert rewind(job, tmp_path, until="loss > 0").state.step == 15


def of_seed(seed=0):
    return job(seed=seed)


def test_the_seed_of_the_run_is_given_to_the_factory(tmp_path):
    made = of_seed(seed=3)
    made.trainer.attach(Checkpoint(tmp_path, steps=5, keep_last=None))
    seen = []
    made.trainer.on("begin_batch")(lambda trainer, state: seen.append(state.xb))
    made.trainer.fit(made.train_loader, epochs=1)
    assert torch.equal(rewind(of_seed, tmp_path, 7, seed=3).state.xb, seen[7])


@pytest.mark.parametrize(
    ("place", "message"),
    [(".", "that is a folder; allowed: a file"), ("file/batch.pt", "file is a file")],
)
def test_a_dump_that_cannot_be_written_is_said_before_training(tmp_path, capsys, place, message):
    (tmp_path / "file").touch()
    dump = str(tmp_path / place)
    assert main(["rewind", str(tmp_path), "rewound:job", "--step", "1", "--dump", dump]) == 2
    assert message in capsys.readouterr().err


def test_the_command_stops_before_a_signal(tmp_path, capsys):
    seen = run(tmp_path)
    file = tmp_path / "batch.pt"
    options = ["--step", "7", "--before", "after_pred", "--seed", "7", "--dump", str(file)]
    assert main(["rewind", str(tmp_path), "rewound:job", *options]) == 0
    content = torch.load(file, weights_only=True)
    assert torch.equal(content["xb"], seen.inputs[7])
    assert (content["pred"].shape, content["loss"]) == ((SIZE, 3), None)


def test_a_condition_on_steps_stops_where_it_begins_to_hold(tmp_path):
    run(tmp_path)
    trainer = rewind(job, tmp_path, until="step > 7")
    assert (trainer.state.step, trainer.state.phase.split(".")[-1]) == (8, "zero_grad")


def test_a_condition_is_looked_at_in_training_batches_only(tmp_path):
    def validating():
        made = job(Checkpoint(tmp_path, steps=5, keep_last=None))
        return Job(
            made.trainer,
            made.train_loader,
            [(torch.full((2, 5), torch.nan), torch.zeros(2, dtype=torch.long))],
            2,
        )

    made = validating()
    made.trainer.fit(made.train_loader, made.valid_loader, epochs=2)
    with pytest.raises(RewindError, match="does not reach the condition 'nan'"):
        rewind(validating, tmp_path, until="nan")
