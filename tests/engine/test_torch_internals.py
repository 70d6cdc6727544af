"""Each private part of torch that the engine uses, by name: which one a new torch has changed."""

import functools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from trackside.engine import torch_internals

ENGINE = Path(__file__).parents[2] / "engine"
PRIVATE = re.compile(
    r"torch\._\w|\bfrom torch[\w.]*\._|\bfrom torch[\w.]* import _|_orig_mod|\._version"
)


def test_tensor_base_len_is_the_first_dimension():
    assert hasattr(torch._C, "TensorBase"), "torch._C.TensorBase is gone"
    assert torch_internals.first_dimension is torch._C.TensorBase.__len__
    assert torch_internals.first_dimension(torch.zeros(3, 2)) == 3


def test_tensor_base_len_reads_a_subclass_without_a_python_call():
    assert torch_internals.first_dimension(torch.nn.Parameter(torch.zeros(4))) == 4


def test_tensor_base_len_of_a_scalar_is_0():
    assert torch_internals.first_dimension(torch.tensor(1.0)) == 0


@pytest.mark.parametrize("value", [[1, 2], "ab", None])
def test_tensor_base_len_of_another_type_raises_a_type_error(value):
    with pytest.raises(TypeError):
        torch_internals.first_dimension(value)


def test_set_grad_enabled_of_c_switches_gradients_off_and_on():
    assert hasattr(torch._C, "_set_grad_enabled"), "torch._C._set_grad_enabled is gone"
    torch_internals.set_gradients(False)
    off = torch.is_grad_enabled()
    torch_internals.set_gradients(True)
    assert (off, torch.is_grad_enabled()) == (False, True)


def test_the_profiler_of_torch_is_seen_by_every_thread_while_it_records():
    name = "_is_profiler_enabled"
    assert hasattr(torch.autograd.profiler, name), f"torch.autograd.profiler.{name} is gone"
    before = torch_internals.is_profiling()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        within = torch_internals.is_profiling()
        with ThreadPoolExecutor(1) as other:
            elsewhere = other.submit(torch_internals.is_profiling).result()
    after = torch_internals.is_profiling()
    assert (before, within, elsewhere, after) == (False, True, True, False)


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW])
def test_the_function_around_the_step_of_each_class_of_optimizers_is_known(optimizer_class):
    optimizer = optimizer_class([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    assert hasattr(torch.optim.Optimizer, "profile_hook_step"), "profile_hook_step is gone"
    assert optimizer_class.step.__code__ is torch_internals.AROUND_STEP
    assert optimizer_class.step.__wrapped__.__code__ is not torch_internals.AROUND_STEP
    assert not any(torch_internals.step_hooks(optimizer))
    optimizer.register_step_post_hook(lambda *_: None)
    assert any(torch_internals.step_hooks(optimizer))


def test_zero_grad_of_torch_is_known():
    name = "torch.optim.Optimizer.zero_grad"
    assert torch_internals.ZERO_GRAD is torch.optim.Optimizer.zero_grad, f"{name} is another"


def test_zero_grad_that_was_set_before_the_engine_was_imported_is_not_that_of_torch():
    before = torch.optim.Optimizer.zero_grad

    def plain(optimizer):
        before(optimizer)

    @functools.wraps(before)
    def named_alike(optimizer):
        before(optimizer)

    for replaced in (plain, named_alike):
        assert torch_internals.as_torch_has_it(replaced) is not replaced


def test_hooks_around_the_steps_of_all_optimizers_are_seen_until_they_are_removed():
    assert not any(torch_internals.STEP_HOOKS_OF_ALL)
    hook = register_optimizer_step_pre_hook(lambda *_: None)
    seen = any(torch_internals.STEP_HOOKS_OF_ALL)
    hook.remove()
    assert (seen, any(torch_internals.STEP_HOOKS_OF_ALL)) == (True, False)


def test_tensor_version_counts_changes_in_place():
    tensor = torch.zeros(2)
    assert hasattr(tensor, "_version"), "torch.Tensor._version is gone"
    before = torch_internals.version(tensor)
    tensor.add_(1)
    assert torch_internals.version(tensor) == before + 1
    tensor + 1
    assert torch_internals.version(tensor) == before + 1


def test_torch_compile_keeps_the_wrapped_module_under_this_name():
    compiled = torch.compile(torch.nn.Linear(2, 2), backend="eager")
    assert [name.split(".")[0] for name, _ in compiled.named_parameters()] == (
        [torch_internals.COMPILED] * 2
    )


def test_collate_joins_tensors_in_its_own_way_and_the_rest_like_torch():
    found = torch_internals.collate_tensors_with(torch.hstack, [(torch.ones(1), 2)] * 2)
    assert [part.tolist() for part in found] == [[1.0, 1.0], [2, 2]]


def test_no_other_file_of_the_engine_uses_a_private_part_of_torch():
    files = [path for path in ENGINE.rglob("*.py") if path.name != "torch_internals.py"]
    private = {path.name: PRIVATE.findall(path.read_text(encoding="utf-8")) for path in files}
    assert {name: found for name, found in private.items() if found} == {}


def test_torch_has_the_functions_that_its_saved_files_name():
    names = [
        torch_internals.REBUILD_PARAMETER,
        torch_internals.REBUILD_QTENSOR,
        torch_internals.REBUILD_SPARSE_TENSOR,
        *torch_internals.REBUILD_TENSOR,
    ]
    missing = [name for name in names if not hasattr(torch._utils, name.rpartition(".")[2])]
    assert missing == []


def test_the_tables_of_a_module_are_those_of_its_own_parameters_and_buffers():
    norm = torch.nn.BatchNorm1d(2)
    nested = torch.nn.Sequential(norm)
    assert torch_internals.own_parameters(norm) == dict(norm.named_parameters())
    assert torch_internals.own_buffers(norm) == dict(norm.named_buffers())
    assert not torch_internals.own_parameters(nested)
    assert not torch_internals.own_buffers(nested)
