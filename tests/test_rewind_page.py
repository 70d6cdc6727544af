"""docs/how-to/rewind.md: its code runs, and prints what the page says."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "rewind.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(code, names)
    found = names["found"]
    assert capsys.readouterr().out.splitlines()[-1] == "7 after_pred"
    assert f"{found.where}: {found.name} differs; written by {found.writers}" in PAGE
