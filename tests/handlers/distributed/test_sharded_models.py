"""Models that FSDP2 shards by block, on the meta device, in low precision; averages and guards."""

import math
from functools import partial

import pytest
import sharded_scenarios
import torch
from distributed_scenarios import error_of, network, run_scenarios, trainer_of, weights
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from trackside import Checkpoint, Distributed, KeyedLoader, Trainer
from trackside.engine import read_checkpoint

NAMES = [
    "by_block",
    "mixed_precision",
    "made_on_meta",
    "never_whole",
    "averaged",
    "resumed_averages",
    "guarded",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def results(folder):
    return run_scenarios(NAMES, folder, module=sharded_scenarios.__file__)


@pytest.mark.parametrize("name", ["fsdp2", "blocks", "recomputed", "compiled"])
def test_sharding_by_block_recomputing_and_compiling_change_no_weights(results, name):
    for result in results["by_block"]:
        assert result["weights"][name] == pytest.approx(result["weights"]["ddp"], abs=1e-6)


def test_each_block_is_sharded_and_the_whole_parameters_take_no_memory(results):
    for result in results["by_block"]:
        assert result["seen"] == [[3, 0]] * 5  # two blocks and the model; bytes
        assert not any("FSDP" in name for name in result["types"])
        assert result["parameters"]


def test_a_policy_computes_in_low_precision_and_keeps_the_weights_exact(results):
    for result in results["mixed_precision"]:
        assert result["dtypes"] == ["torch.bfloat16"]
        assert result["kept"] == "torch.float32"
        assert result["weights"] == pytest.approx(result["exact"], abs=0.02)
        assert result["weights"] != result["exact"]


@pytest.mark.parametrize("name", ["network", "tied", "transformer"])
def test_a_model_on_the_meta_device_gets_the_weights_of_one_process(results, name):
    first, second = (result[name] for result in results["made_on_meta"])
    assert first["buffers"] == second["buffers"]
    for result in (first, second):
        assert result["weights"] == pytest.approx(result["replicated"], abs=1e-6)
        assert result["optimized"]
        assert result["tied"]


def test_a_model_that_no_rank_has_whole_is_in_its_checkpoint(results, folder):
    model = read_checkpoint(folder / "never-whole")["model"]
    saved = torch.cat([value.flatten() for value in model.values()]).tolist()
    for result in results["never_whole"]:
        assert result["devices"] == ["meta"]
        assert result["steps"] == 10
        assert "nothing saves it; attach a Checkpoint" in result["unsaved"]
        assert saved == pytest.approx(result["whole"], abs=1e-6)


@pytest.mark.parametrize("name", ["EMA", "SWA"])
def test_averages_of_shards_equal_those_of_whole_weights(results, name):
    for result in results["averaged"]:
        sharded, whole = result[f"fsdp2 {name}"], result[f"ddp {name}"]
        for kept in ("first", "second", "averaged"):
            assert sharded[kept] == pytest.approx(whole[kept], abs=1e-6), kept
        assert sharded["types"] == ["Parameter"]


@pytest.mark.parametrize("name", ["EMA", "SWA"])
def test_a_fit_with_averages_of_shards_resumes_exactly(results, name):
    for result in results["resumed_averages"]:
        whole, cancelled, resumed = result[name]
        assert resumed == whole != cancelled


@pytest.mark.parametrize("name", ["StopOnNaN", "SkipBadBatch"])
def test_a_gradient_that_is_nan_on_one_rank_is_found_by_all(results, name):
    for result in results["guarded"]:
        sharded, whole = result[f"fsdp2 {name}"], result[f"ddp {name}"]
        assert sharded["step"] == whole["step"] == 2
        assert sharded["outcome"] == whole["outcome"]
        assert sharded["weights"] == pytest.approx(whole["weights"], abs=1e-6)
        assert all(map(math.isfinite, sharded["weights"]))


@pytest.mark.parametrize("name", ["norm 2", "norm inf", "value"])
def test_gradients_are_clipped_by_one_norm_also_if_a_rank_has_no_row(results, name):
    first, second = (result[f"fsdp2 {name}"] for result in results["guarded"])
    whole = results["guarded"][0][f"ddp {name}"]
    assert first["norm"] == second["norm"] == pytest.approx(whole["norm"])
    assert first["weights"] == second["weights"]
    assert first["weights"] == pytest.approx(whole["weights"], abs=1e-6)


def test_one_process_gives_a_model_on_the_meta_device_its_first_weights():
    model = network()
    with torch.device("meta"):
        meta = network()
    torch.manual_seed(3)
    trainer = trainer_of(meta, Distributed("fsdp2"))
    data = [(torch.ones(4, 5), torch.ones(4).long())]
    trainer.fit(data)
    trainer_of(model).fit(data)
    assert weights(meta) == weights(model)


def test_a_model_on_the_meta_device_gets_its_weights_on_the_device_of_the_trainer():
    with torch.device("meta"):
        model = network()
    trainer = trainer_of(model, Distributed("fsdp2"))
    trainer.state.device = torch.device("cpu")
    trainer.fit([(torch.ones(4, 5), torch.ones(4).long())])
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


class Masked(nn.Module):
    """Makes a buffer in `__init__` alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("mask", torch.ones(2))


def attached(model, *options, **named):
    return error_of(lambda: Trainer(model, nn.MSELoss(), None, [Distributed(*options, **named)]))


def test_options_that_cannot_work_are_refused_before_a_fit():
    def every(module):
        return True

    wrong = {
        "allowed: a function of a module": {"blocks": nn.Linear},
        "mixed_precision='bf16'": {"mixed_precision": "bf16"},
    }
    for message, options in wrong.items():
        assert message in error_of(partial(Distributed, "fsdp2", **options))
    policy = MixedPrecisionPolicy()
    for options in ({"blocks": every}, {"mixed_precision": policy}, {"whole": False}):
        assert "allowed with 'fsdp2'" in error_of(partial(Distributed, "ddp", **options))
    nothing = attached(nn.Linear(2, 2), "fsdp2", blocks=lambda module: False)
    assert "blocks= is true for no module inside the Linear" in nothing


def test_a_meta_model_without_a_way_to_make_its_values_is_refused():
    with torch.device("meta"):
        model = Masked()
        plain = nn.Linear(2, 2)
    message = attached(model, "fsdp2")
    assert "it (Masked) cannot make values for its parameters and buffers" in message
    assert attached(Masked(), "fsdp2") == ""
    assert "the model is on the meta device; allowed with 'fsdp2'" in attached(plain, "ddp")


def test_a_model_that_is_partly_on_the_meta_device_is_refused_and_kept():
    with torch.device("meta"):
        head = nn.Linear(2, 1)
    model = nn.Sequential(nn.Linear(2, 2), head)
    pretrained = model[0].weight.detach().clone()
    message = attached(model, "fsdp2")
    assert "partly on the meta device: 1.weight has no values, 0.weight has" in message
    model[1] = nn.Linear(2, 1)
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters()), [Distributed()])
    model[1] = head
    message = error_of(lambda: trainer.fit([(torch.ones(1, 2), torch.ones(1, 1))]))
    assert "allowed: all parameters on it, or none" in message
    assert torch.equal(model[0].weight, pretrained)


def test_one_process_keeps_its_model_also_without_the_whole_one(tmp_path):
    model = network()
    trainer = trainer_of(model, Checkpoint(tmp_path), Distributed("fsdp2", whole=False))
    trainer.fit(KeyedLoader([(torch.ones(5), 1)] * 4, 2))
    assert not next(model.parameters()).is_meta  # one process alone keeps its model
