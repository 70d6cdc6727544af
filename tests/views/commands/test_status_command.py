import warnings

import pytest
from recordings import recorded

from trackside.views.commands.main import main, warnings_in_one_line


def test_the_status_of_all_recordings_of_a_folder_is_a_line_each(tmp_path, capsys):
    recorded(tmp_path / "one.loop", name="first").close()
    recorded(tmp_path / "deep" / "two.loop", name="second").close()
    assert main(["status", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first.split()[1], second.split()[1]) == ("first", "second")
    assert str(tmp_path / "deep" / "two.loop") in second


def test_a_damaged_recording_in_the_folder_is_skipped_with_one_line(tmp_path, capsys):
    recorded(tmp_path / "good.loop").close()
    (tmp_path / "bad.loop").write_bytes(b"hello")
    with pytest.warns(UserWarning, match="skipping") as caught:
        assert main(["status", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "good.loop"), "good", "completed"]
    with warnings_in_one_line():
        text = warnings.formatwarning(caught[0].message, UserWarning, caught[0].filename, 1)
        foreign = warnings.formatwarning(UserWarning("x"), UserWarning, "elsewhere.py", 7)
    bad = tmp_path / "bad.loop"
    assert text.startswith(f"trackside: skipping a recording: cannot read {bad}: ")
    assert text.count("\n") == 1
    assert foreign.startswith("elsewhere.py:7: UserWarning: x")


@pytest.mark.filterwarnings("ignore:skipping a recording")
def test_a_damaged_recording_in_the_folder_is_not_in_the_report(tmp_path, capsys):
    recorded(tmp_path / "good.loop").close()
    (tmp_path / "bad.loop").write_bytes(b"hello")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "out.html")]) == 0
    assert "records-0" in (page := (tmp_path / "out.html").read_text(encoding="utf-8"))
    assert "records-1" not in page
