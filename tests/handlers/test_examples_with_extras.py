"""The examples in docs/reference/handler-examples.md that need an extra; the others run there."""

import re
import sys
from pathlib import Path

from forked import run_forked

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "handler-examples.md"


def test_the_examples_that_need_an_extra_run(offline, tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    first = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
    (examples,) = re.findall(r"^```py\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    code = f"{first}\n{examples}\nprint('all')"
    done = run_forked([sys.executable, "-c", code], cwd=tmp_path)  # they serve whole processes
    assert done.stdout.endswith("all\n"), done.stderr
    assert [*(tmp_path / "runs" / "tensorboard").rglob("events*")]
    assert (tmp_path / "mlflow.db").is_file()
