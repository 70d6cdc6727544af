"""docs/how-to/distributed.md: its code runs."""

import re
from pathlib import Path

import torch

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "distributed.md").read_text(
    encoding="utf-8"
)


def test_the_code_for_large_models_trains_one_from_the_meta_device():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.partition("## Large models")[2], re.DOTALL)
    names = {}
    exec(code, names)
    state = names["trainer"].state
    assert (state.outcome, state.step) == ("completed", 8)
    assert all(torch.isfinite(p).all() for p in state.model.parameters())
