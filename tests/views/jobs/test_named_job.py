import commanded
import pytest

from trackside import EMA
from trackside.views.commands.main import build_parser, main
from trackside.views.jobs.named_job import JobSource, create_named_job, request_of

WORDS = ["--width=3", "--update.momentum=0.5", "--factory.precision", "high"]


@pytest.fixture(autouse=True)
def calls():
    commanded.CALLS.clear()
    return commanded.CALLS


def test_another_process_creates_the_job_that_the_command_line_describes(calls):
    arguments = build_parser().parse_args(
        ["verify-resume", "commanded:job", *WORDS, "--handler", "ema.decay=0.9"]
    )
    source = JobSource.of_request(request_of(arguments))
    job = source.create(seed=1, varied={"lr": 0.01, "precision": "none"})
    assert calls == [(3, 0.01, 0.5, "none")]
    assert [type(handler) for handler in job.trainer.handlers] == [EMA]
    source.create()
    assert calls[1:] == [(3, 0.1, 0.5, "high")]


def test_a_parameter_that_is_set_by_a_prefix_is_one_fact():
    arguments = build_parser().parse_args(["rehearse", "commanded:job", *WORDS])
    facts = create_named_job(commanded.job, arguments).trainer.state.facts["arguments"]
    assert (facts["precision"], facts["width"]) == ("high", 3)
    assert "factory" not in facts


def test_a_run_of_the_command_line_is_rewound_with_its_arguments(tmp_path, capsys, calls):
    out, saved, dump = tmp_path / "out", tmp_path / "saved", tmp_path / "batch.pt"
    files = ["--out", str(out), "--checkpoint", str(saved), "--epochs=2"]
    assert main(["fit", "commanded:job", *WORDS, "--handler", "ema.decay=0.9", *files]) == 0
    words = ["commanded:job", "--config", str(out / "config.yaml"), "--step=4", "--dump", str(dump)]
    assert main(["rewind", str(saved), *words]) == 0
    assert "step 4, epoch 2, batch 2" in capsys.readouterr().out
    assert calls == [(3, 0.1, 0.5, "high")] * 2


def test_a_fit_with_arguments_is_resumed_by_verify_resume(capsys):
    words = [*WORDS, "--epochs=1", "--batches=1", "--handler", "ema"]
    assert main(["verify-resume", "commanded:job", *words]) == 0
    assert "equal the uninterrupted one" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["verify-resume", "commanded:job"],
        ["ablate", "commanded:job", "--width=x"],
    ],
)
def test_a_wrong_argument_is_refused_with_the_help_that_shows_it(words, capsys):
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"; see trackside {words[0]} commanded:job --help")
