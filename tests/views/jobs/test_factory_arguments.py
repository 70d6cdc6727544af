import dataclasses
import enum
import functools
from typing import Literal

import pytest
import torch
from helpers import trainer_of

from trackside.views import Job
from trackside.views.commands.main import build_parser
from trackside.views.jobs.factory_arguments import parameters_help, read_arguments
from trackside.views.output.usage_error import UsageError


@dataclasses.dataclass
class Optimizer:
    """How the weights are updated.

    Args:
        lr: the learning rate.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


class Size(enum.Enum):
    small = 8
    large = 64


def factory(
    batch_size: int = 32,
    optimizer: Optimizer = Optimizer(),  # noqa: B008
    size: Size = Size.small,
    kind: Literal["mlp", "convnet"] = "mlp",
    api_key: str = "",
    dropout: float | None = None,
    transform=torch.nn.Identity(),  # noqa: B008
    epochs: int = 5,
    device: torch.device | None = None,
):
    """Make a net.

    Args:
        batch_size: examples in a batch.
    """
    return Job(trainer_of(), [batch_size, optimizer, size, kind, epochs])


def needs_width(width: int, *, depth=2):
    return width, depth


def read(*words, of=factory):
    arguments = build_parser().parse_args(["fit", "jobs:f", *words])
    return read_arguments(of, arguments), arguments


def test_parameters_are_typed_by_the_signature_and_written_with_either_dash():
    words = ["--batch-size", "64", "--size=large", "--kind", "convnet"]
    given = read(*words)[0].given
    assert given == {"batch_size": 64, "size": Size.large, "kind": "convnet"}
    assert read("--batch_size=64")[0].given == {"batch_size": 64}


def test_fields_of_a_nested_dataclass_are_options():
    found, _ = read("--optimizer.lr", "3e-3")
    assert found.given == {"optimizer": Optimizer(lr=3e-3)}
    assert found.effective["optimizer"] == {"lr": 3e-3, "betas": [0.9, 0.999]}


def test_without_arguments_the_factory_keeps_its_own_defaults():
    found, _ = read()
    assert found.given == {}
    assert found.effective["batch_size"] == 32
    assert found.effective["size"] == "small"
    assert "transform" not in found.effective  # an object that no text describes


def test_the_command_line_wins_over_files_and_a_later_file_over_an_earlier_one(tmp_path):
    (tmp_path / "a.yaml").write_text("batch_size: 8\noptimizer: {lr: 0.5}\nkind: convnet\n")
    (tmp_path / "b.yaml").write_text("batch_size: 16\n")
    files = [f"--config={tmp_path / name}.yaml" for name in "ab"]
    found, _ = read("--optimizer.lr=0.25", *files)
    assert found.given == {
        "batch_size": 16,
        "optimizer": Optimizer(lr=0.25),
        "kind": "convnet",
    }


def test_a_file_may_contain_what_the_fit_is_but_not_where_its_files_are(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 3\nseed: 7\nhandler: [ema.decay=0.9]\nprecision: bf16\n")
    _, arguments = read("--seed", "8", f"--config={file}")
    assert (arguments.epochs, arguments.seed, arguments.precision) == (3, 8, "bf16")
    assert arguments.handler == ["ema.decay=0.9"]
    file.write_text("out: runs\n")
    with pytest.raises(UsageError, match="Option 'out' is not accepted; "):
        read(f"--config={file}")


def test_the_written_text_read_again_gives_the_same_arguments(tmp_path):
    words = ["--batch-size=64", "--optimizer.lr=0.1", "--size=large", "--epochs=2", "--seed=1"]
    found, _ = read(*words, "--handler", "ema.decay=0.9")
    (tmp_path / "config.yaml").write_text(found.text())
    again, arguments = read(f"--config={tmp_path / 'config.yaml'}")
    assert again == found
    assert (arguments.epochs, arguments.seed, arguments.handler) == (2, 1, ["ema.decay=0.9"])


def test_a_parameter_epochs_gets_the_option_and_a_secret_is_not_written():
    found, _ = read("--epochs=2", "--api-key", "abc")
    assert found.given == {"epochs": 2, "api_key": "abc"}
    assert "api_key" not in found.effective
    assert "abc" not in found.text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--batch-size", "x"],
            "jobs:f: --batch-size: Expected an int. Got value: x; see",
        ),
        (
            ["--batchsize", "3"],
            "--batchsize 3; did you mean --batch-size?; see ",
        ),
        (["--learning-rate", "1"], "unrecognized arguments: --learning-rate 1; see "),
        (["--checkpont", "x"], "did you mean --checkpoint?; see trackside fit jobs:f --help"),
        (["--kind", "rnn"], "--kind: Expected a Literal['mlp', 'convnet']. Got value: rnn; see"),
        (["--dropout=x"], "--dropout: Expected one of: float, NoneType. Got value: x; see"),
        (["--config", "missing.yaml"], "--config: File does not exist"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_was_meant(words, message):
    with pytest.raises(UsageError) as raised:
        read(*words)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "bad.yaml").write_text("batch_size: [8\n")
    with pytest.raises(UsageError, match=r"parsing .*in \S*bad\.yaml, line 1, column 13"):
        read(f"--config={tmp_path / 'bad.yaml'}")


def test_a_required_parameter_is_asked_for():
    with pytest.raises(UsageError, match="arguments are required: --width; see trackside fit"):
        read(of=needs_width)
    assert read("--width", "3", of=needs_width)[0].given == {"width": 3}


def test_a_factory_whose_parameters_cannot_be_read_is_refused():
    with pytest.raises(UsageError, match="cannot read the parameters of jobs:f: AttributeError: "):
        read("--depth", "3", of=functools.partial(needs_width, 3))


def test_the_help_shows_type_default_and_description_of_each_parameter():
    text = " ".join(parameters_help(factory, "jobs:f").split())
    assert "Make a net" in text
    assert "--batch-size BATCH_SIZE examples in a batch. (type: int, default: 32)" in text
    assert "--optimizer.lr LR the learning rate. (type: float, default: 0.001)" in text
    assert "--device" not in text
    assert parameters_help(lambda: None, "jobs:g") == ""


def test_a_default_that_no_text_describes_and_a_parameter_config_are_no_fault():
    def odd(config=None, weights=torch.ones(2), lr: float = 0.1):  # noqa: B008
        return config, weights, lr

    found, _ = read("--lr=0.2", of=odd)
    assert found.given.pop("lr") == 0.2
    assert all(torch.equal(value, torch.ones(2)) for value in found.given.values())
    assert found.effective == {"lr": 0.2, "factory": {"config": None}}


def clashing(precision: str = "low", out: str = "none", seed: int = 0):
    return precision, out, seed


def test_a_parameter_with_the_name_of_an_option_is_set_by_a_prefix(tmp_path):
    words = ["--factory.precision=high", "--factory.out", "x", "--factory.seed=4"]
    found, arguments = read(*words, "--precision=bf16", "--seed=5", of=clashing)
    assert found.given == {"precision": "high", "out": "x", "seed": 4}
    assert (arguments.precision, arguments.seed, arguments.out) == ("bf16", 5, None)
    (tmp_path / "config.yaml").write_text(found.text())
    again, arguments = read(f"--config={tmp_path / 'config.yaml'}", of=clashing)
    assert again == found
    assert (arguments.precision, arguments.seed) == ("bf16", 5)


def test_the_help_shows_the_prefix_where_the_command_has_an_option_of_the_name():
    text = parameters_help(clashing, "jobs:f", ["--out", "--precision"])
    assert "--factory.precision" in text
    assert "--factory.out" in text
    assert "--out" in parameters_help(clashing, "jobs:f", ["--precision"])


@pytest.mark.parametrize("command", ["draw", "rehearse", "verify-resume", "ablate"])
def test_every_command_reads_the_file_that_a_fit_has_written(tmp_path, command):
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 3\nseed: 7\nbatch_size: 8\nhandler: [ema]\n")
    arguments = build_parser().parse_args([command, "jobs:f", f"--config={file}"])
    assert read_arguments(factory, arguments).given == {"batch_size": 8, "epochs": 3}
    assert (arguments.seed, arguments.handler) == (7, ["ema"])
