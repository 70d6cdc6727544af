"""Private parts of torch that handlers use: each test names the part that torch has changed."""

import ast
import inspect
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.distributed import distributed_c10d
from torch.nn.modules import batchnorm
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from trackside.handlers import _torch_internals as internals

HANDLERS = Path(__file__).parents[2] / "handlers"


def changed(part, how):
    return f"torch {torch.__version__}: {part} {how}; adapt handlers/_torch_internals.py"


def schema(operator):
    """The signature of an operator, without its name."""
    return str(operator._schema).partition("(")[2]


def optimizer(*parameters):
    return SGD(parameters, lr=0.1)


def parameter(gradient):
    made = nn.Parameter(torch.zeros(2))
    made.grad = torch.tensor(gradient)
    return made


# existence and signature


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (lambda: torch, "torch._sample_dirichlet"),
        (lambda: torch, "torch._foreach_mul_"),
        (lambda: batchnorm, "torch.nn.modules.batchnorm._BatchNorm"),
        (lambda: batchnorm, "torch.nn.modules.batchnorm._NormBase"),
        (nn.Module, "torch.nn.Module._buffers"),
        (lambda: distributed_c10d, "torch.distributed.distributed_c10d._get_default_store"),
        (lambda: distributed_c10d._world, "torch.distributed.distributed_c10d._world.group_count"),
        (lambda: GradScaler("cpu"), "torch.amp.GradScaler._device"),
        (lambda: torch.compile(nn.ReLU(), backend="eager"), "OptimizedModule._orig_mod"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_private_part_exists(owner, name):
    assert hasattr(owner(), name.rpartition(".")[2]), changed(name, "is gone")


@pytest.mark.parametrize(
    ("name", "operator", "signature"),
    [
        (
            "torch._sample_dirichlet",
            lambda: torch.ops.aten._sample_dirichlet.default,
            "Tensor self, Generator? generator=None) -> Tensor",
        ),
        (
            "torch._foreach_mul_",
            lambda: torch.ops.aten._foreach_mul_.Scalar,
            "Tensor(a!)[] self, Scalar scalar) -> ()",
        ),
    ],
    ids=["torch._sample_dirichlet", "torch._foreach_mul_"],
)
def test_operator_has_the_signature(name, operator, signature):
    assert schema(operator()) == signature, changed(name, "has another signature")


def test_GradScaler_step_takes_an_optimizer_and_update_takes_nothing():
    step = list(inspect.signature(GradScaler.step).parameters)
    assert step[:2] == ["self", "optimizer"], changed("GradScaler.step", "has another signature")
    required = [
        name
        for name, argument in inspect.signature(GradScaler.update).parameters.items()
        if argument.default is inspect.Parameter.empty
    ]
    assert required == ["self"], changed("GradScaler.update", "has another signature")


# behaviour


def test_sample_dirichlet_draws_reproducible_shares_that_average_one_half():
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    before = torch.get_rng_state()
    first, second = ([internals.sample_beta(0.4, g) for _ in range(500)] for g in generators)
    part = "torch._sample_dirichlet"
    assert first == second, changed(part, "does not draw from the generator")
    assert torch.equal(torch.get_rng_state(), before), changed(part, "uses the global generator")
    assert all(0 <= share <= 1 for share in first), changed(part, "leaves 0 to 1")
    assert sum(first) / 500 == pytest.approx(0.5, abs=0.06), changed(part, "has another mean")


def test_foreach_mul_multiplies_in_place():
    tensors = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    internals.scale_tensors(tensors, 0.5)
    assert [t.tolist() for t in tensors] == [[0.5, 1.0], [[1.5]]], changed(
        "torch._foreach_mul_", "does not multiply in place"
    )


def test_BatchNorm_is_the_base_of_all_batch_norm_layers_only():
    layers = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]
    for layer in [*layers, nn.LazyBatchNorm1d]:
        assert issubclass(layer, internals.BatchNorm), changed("_BatchNorm", f"misses {layer}")
    assert not issubclass(nn.InstanceNorm1d, internals.BatchNorm), changed(
        "_BatchNorm", "includes instance norm"
    )
    assert callable(internals.BatchNorm.reset_running_stats), changed(
        "_BatchNorm.reset_running_stats", "is gone"
    )


def test_NormBase_is_the_base_of_all_layers_with_running_statistics():
    for layer in (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.InstanceNorm3d):
        assert issubclass(layer, internals.BatchOrInstanceNorm), changed(
            "_NormBase", f"misses {layer}"
        )
    for layer in (nn.LayerNorm, nn.GroupNorm):
        assert not issubclass(layer, internals.BatchOrInstanceNorm), changed(
            "_NormBase", f"includes {layer}"
        )


def test_buffers_is_the_live_dict_of_the_modules_own_buffers():
    norm = nn.BatchNorm1d(2)
    buffers = internals.module_buffers(norm)
    names = [name for name, _ in norm.named_buffers()]
    assert list(buffers) == names, changed("Module._buffers", "has other names")
    buffers["running_mean"] = replaced = torch.ones(2)
    assert norm.running_mean is replaced, changed("Module._buffers", "is not the live dict")
    assert internals.module_buffers(nn.Sequential(norm)) == {}, changed(
        "Module._buffers", "includes submodules"
    )


def test_orig_mod_is_the_compiled_module_and_the_prefix_of_its_names():
    plain = nn.Linear(1, 1)
    compiled = torch.compile(plain, backend="eager")
    assert internals.uncompiled(compiled) is plain, changed("_orig_mod", "is another module")
    assert internals.uncompiled(plain) is plain
    names = [name for name, _ in compiled.named_parameters()]
    expected = [f"{internals.COMPILED_PREFIX}{name}" for name, _ in plain.named_parameters()]
    assert names == expected, changed("_orig_mod", "is not the prefix of the names")


def test_opt_called_prevents_the_warning_of_an_early_scheduler_step():
    def early_step(mark):
        stepped = optimizer(parameter([1.0, 1.0]))
        scheduler = StepLR(stepped, 1)
        if mark:
            internals.mark_stepped(stepped)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
        return [w for w in caught if "lr_scheduler.step()" in str(w.message)]

    assert early_step(mark=False), changed("LRScheduler", "does not warn; drop mark_stepped")
    assert not early_step(mark=True), changed("Optimizer._opt_called", "is not read any more")


def test_device_of_GradScaler_is_the_type_it_was_made_for():
    assert internals.scaler_device(GradScaler("cpu")) == "cpu", changed(
        "GradScaler._device", "has another value"
    )


@pytest.mark.parametrize(("value", "are_finite"), [(8.0, True), (float("inf"), False)])
def test_GradScaler_accepts_anything_with_param_groups_and_step(value, are_finite):
    scaler, weight = GradScaler("cpu", init_scale=4.0), parameter([value, 4.0])
    scaler.scale(torch.zeros(()))
    part = "GradScaler.step"
    assert internals.unscale(scaler, [weight]) is are_finite, changed(part, "misjudges gradients")
    if are_finite:
        assert weight.grad.tolist() == [2.0, 1.0], changed(part, "does not unscale")
    expected = 4.0 if are_finite else 2.0
    assert scaler.get_scale() == expected, changed("GradScaler.update", "sets another scale")


def test_tables_of_hooks_hold_those_of_modules_and_of_all_modules():
    module = nn.Linear(1, 1)
    tables, part = internals.hook_tables([module]), "Module._forward_hooks"
    assert not any(tables)
    for register in (
        module.register_forward_hook,
        module.register_forward_pre_hook,
        module.register_full_backward_hook,
        module.register_full_backward_pre_hook,
        nn.modules.module.register_module_forward_hook,
    ):
        handle = register(lambda *_: None)
        assert any(tables), changed(part, "does not hold its hooks")
        handle.remove()
        assert not any(tables), changed(part, "keeps a hook that was removed")


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_gradient_hook_of_a_parameter_is_known(register):
    weight, part = parameter([1.0, 1.0]), "Tensor._backward_hooks"
    assert not internals.has_gradient_hook(weight), changed(part, "is not empty")
    handle = getattr(weight, register)(lambda _: None)
    assert internals.has_gradient_hook(weight), changed(part, "does not hold its hooks")
    handle.remove()
    assert not internals.has_gradient_hook(weight), changed(part, "keeps a removed hook")


def test_gradients_are_compiled_with_their_function_once():
    part = "torch._dynamo.config.trace_autograd_ops"
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    call = internals.compiled_with_gradients(_cubed, backend)
    weight = parameter([0.0, 0.0])
    for _ in range(2):
        (gradient,) = call(weight)
        assert gradient.tolist() == [12.0, 12.0], changed(part, "gives other gradients")
    assert len(graphs) == 1, changed(part, "does not make one graph")
    with pytest.raises(RuntimeError, match="has changed since it was compiled"):
        call(nn.Parameter(torch.ones(3)))


def _cubed(weight):
    return torch.autograd.grad((weight + 2).pow(3).sum(), [weight])


# the rest of handlers


OF_OTHERS = {"_update_count"}  # of torchmetrics


def private_parts(path):
    """Private names that a file imports from libraries, or reads from anything but `self`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own and not node.attr.startswith("__") and node.attr not in OF_OTHERS:
                yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and node.value in ("_orig_mod", "_orig_mod."):
            yield node.value


def test_other_handler_files_use_no_private_part():
    places = ("_torch_internals.py", "_python_internals.py")
    files = [path for path in HANDLERS.rglob("*.py") if path.name not in places]
    used = {path.name: list(private_parts(path)) for path in files}
    assert {name: parts for name, parts in used.items() if parts} == {}


def test_the_group_of_one_rank_is_not_counted_so_that_the_next_has_the_same_name_on_all(group):
    before = distributed_c10d._world.group_count
    alone = internals.group_of_this_rank()
    assert torch.distributed.get_world_size(alone) == 1
    assert distributed_c10d._world.group_count == before
    torch.distributed.destroy_process_group(alone)
