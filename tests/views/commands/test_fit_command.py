import sys

import pytest
import yaml

from trackside.handlers import EMA, MixedPrecision
from trackside.views.commands.main import main
from trackside.views.recordings.kept_facts import kept_facts

JOB = """
import torch
from torch import nn
from trackside import Trainer

TRAINERS = []


def factory(lr: float = 0.1, batch_size: int = 4):
    '''Make a net.

    Args:
        lr: of SGD.
    '''
    model = nn.Linear(4, 2)
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr))
    TRAINERS.append(trainer)
    return trainer, [(torch.ones(batch_size, 4), torch.ones(batch_size, 2))] * 3
"""


@pytest.fixture
def fit(tmp_path, monkeypatch, request):
    """Run `trackside fit` with a factory in this process; returns its exit code and trainer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"job_of_a_test_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(JOB)

    def run(*words):
        code = main(["fit", f"{name}.py:factory", *words])
        module = sys.modules.pop(name, None)  # None: refused before the factory was imported
        return code, module.TRAINERS[-1] if module else None

    return run


def test_arguments_are_used_printed_written_and_kept_as_facts(fit, tmp_path, capsys):
    code, trainer = fit("--lr", "3e-3", "--batch-size=8", "--out", "run", "--record", "run/a.loop")
    assert (code, trainer.state.lr, trainer.state.samples) == (0, 3e-3, 24)
    written = (tmp_path / "run" / "config.yaml").read_text()
    assert yaml.safe_load(written) == {"lr": 0.003, "batch_size": 8, "epochs": 1}
    assert capsys.readouterr().out.startswith(written)
    (facts,) = kept_facts(tmp_path / "run" / "a.loop").values()
    assert facts["arguments"] == {"lr": 0.003, "batch_size": 8}


def test_handlers_get_their_arguments_in_one_or_several_options(fit):
    options = ["ema.decay=0.5", "gradient_clip.max_norm=2", "ema.validate=false"]
    _, trainer = fit(*[word for option in options for word in ("--handler", option)])
    (ema,) = [handler for handler in trainer.handlers if isinstance(handler, EMA)]
    assert (ema.decay, ema.validate) == (0.5, False)
    assert "GradientClip" in {type(handler).__name__ for handler in trainer.handlers}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("gradient_clip.max=3", "--max=3; did you mean --max-norm?; `trackside handlers gradient_"),
        ("gradient_clip.max_norm=x", "--handler gradient_clip: --max-norm: "),
        ("gradient_clip.max_norm=-3", "GradientClip(max_norm=-3.0): allowed: a number above 0"),
        ("gradient_clip", "give exactly one of the two; `trackside handlers gradient_clip` shows"),
        ("gradient_clp.max_norm=3", "a handler 'gradient_clp'; did you mean gradient_clip?"),
    ],
)
def test_a_wrong_argument_of_a_handler_is_refused(fit, capsys, option, message):
    code, _ = fit("--handler", option)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_precision_attaches_mixed_precision(fit):
    _, trainer = fit("--precision", "bf16")
    assert any(isinstance(handler, MixedPrecision) for handler in trainer.handlers)


def test_lr_find_prints_suggested_rates_and_trains_nothing(fit, capsys):
    code, trainer = fit("--lr-find")
    assert (code, trainer.state.step) == (0, 0)
    assert "suggested: " in capsys.readouterr().out


def test_help_after_a_factory_shows_its_parameters(fit, capsys):
    with pytest.raises(SystemExit, match="0"):
        fit("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--lr LR of SGD. (type: float, default: 0.1)" in shown
    assert "--handler NAME[.ARGUMENT=VALUE]" in shown


def test_a_seed_of_a_config_is_saved_so_that_it_can_be_read_again(fit, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("seed: 3\nepochs: 1\n")
    words = ("--config", "run.yaml", "--checkpoint", "saved", "--resume", "auto")
    assert fit(*words)[0] == 0
    code, trainer = fit(*words, "--epochs", "2")
    assert code == 0, capsys.readouterr().err
    assert (trainer.state.step, trainer.state.seed) == (6, 3)
