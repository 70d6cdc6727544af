"""docs/how-to/inspecting.md: its code runs, and prints what the page shows."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "inspecting.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_prints_what_it_shows(capsys):
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), {})
    printed = capsys.readouterr().out
    at = 0
    for shown in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL):
        for line in (line.split("…")[0].strip() for line in shown.splitlines()):
            at = printed.index(line, at) + len(line)
