"""docs/how-to/rehearsal.md: its code runs, and prints what the page shows."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "rehearsal.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)), {})
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = capsys.readouterr().out.replace(f"{tmp_path}/", "")
    at = 0
    for line in (line.split("…")[0].strip() for line in shown.splitlines()):
        at = printed.index(line, at)
    assert not list(tmp_path.iterdir())
