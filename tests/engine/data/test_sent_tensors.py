"""Tensors arrive from a worker as they were: small ones by value, others in shared memory."""

import warnings

import pytest
import torch
from torch import nn

from trackside.engine import KeyedLoader

SMALL = {
    **{str(dtype): torch.tensor([0, 1, 5]).to(dtype) for dtype in (torch.bool, torch.int64)},
    **{str(dtype): torch.randn(3, 2).to(dtype) for dtype in (torch.float16, torch.bfloat16)},
    "complex": torch.randn(2, dtype=torch.complex64),
    "uint16": torch.tensor([1, 2], dtype=torch.uint16),
    "scalar": torch.tensor(2.5),
    "largest": torch.randn(256, 512),
}
OTHERS = {
    "too large": torch.randn(256, 513),
    "view": torch.randn(4, 4)[:, :2],
    "part": torch.randn(8)[:4],
    "transposed": torch.randn(2, 3).t(),
    "parameter": nn.Parameter(torch.ones(2)),
    "requires grad": torch.ones(2, requires_grad=True),
}
ODD = {"empty": torch.empty(0, 3), "sparse": torch.eye(3).to_sparse()}
KINDS = {**SMALL, **OTHERS, **ODD}
TWICE = torch.arange(3.0)


@pytest.fixture(scope="module")
def arrived():
    """The tensors as a worker has sent them, in one batch."""
    sent = [*KINDS.values(), TWICE, TWICE]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks")
        (batch,) = KeyedLoader(sent, len(sent), collate_fn=lambda batch: batch, num_workers=1)
    return dict(zip([*KINDS, "once", "twice"], batch, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_a_tensor_of_a_worker_is_equal_to_the_one_it_has_sent(arrived, name):
    found, sent = arrived[name], KINDS[name]
    assert (type(found), found.dtype, found.shape) == (type(sent), sent.dtype, sent.shape)
    assert found.layout == sent.layout
    assert found.is_sparse or found.stride() == sent.stride()
    assert found.requires_grad == sent.requires_grad
    assert torch.equal(found.to_dense(), sent.to_dense())


@pytest.mark.parametrize("name", SMALL)
def test_a_small_tensor_is_sent_by_value(arrived, name):
    assert not arrived[name].is_shared()
    assert arrived[name].data_ptr() % 64 == 0  # as torch aligns its own: same results of kernels


@pytest.mark.parametrize("name", OTHERS)
def test_a_large_tensor_or_a_view_is_sent_in_shared_memory(arrived, name):
    assert arrived[name].is_shared()


def test_a_tensor_that_is_twice_in_a_batch_arrives_as_one(arrived):
    assert arrived["once"] is arrived["twice"]
    assert torch.equal(arrived["once"], TWICE)
