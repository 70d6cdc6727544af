"""docs/how-to/performance.md: its code runs."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "performance.md").read_text(
    encoding="utf-8"
)


def test_the_code_of_the_page_runs_and_explains_what_is_fused(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    head, shape, compiling = capsys.readouterr().out.splitlines()
    assert head.startswith("fused: ")
    assert re.fullmatch(
        r"  \(32, 8\) float32 cpu, \(32,\) int64 cpu: (not fused, it does not pay|fused): "
        r"\d+ µs a batch, the rows \d+",
        shape,
    )
    assert re.fullmatch(r"  compiling has taken \d+(\.\d+)? s", compiling)
