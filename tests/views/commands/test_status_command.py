from recordings import recorded

from trackside.views.commands.main import main


def test_the_status_of_all_recordings_of_a_folder_is_a_line_each(tmp_path, capsys):
    recorded(tmp_path / "one.loop", name="first").close()
    recorded(tmp_path / "deep" / "two.loop", name="second").close()
    assert main(["status", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first.split()[1], second.split()[1]) == ("first", "second")
    assert str(tmp_path / "deep" / "two.loop") in second
