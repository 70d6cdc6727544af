import pytest
from helpers import Trace, batches, trainer_of
from recordings import recorded

from trackside.handlers import Recorder
from trackside.views import RecordingError, totals
from trackside.views.recordings.recording_set import merge_totals, open_recordings


def test_the_recordings_in_a_folder_are_sorted_by_name_and_rank(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "12")
    for rank in (10, 2, 0):
        monkeypatch.setenv("RANK", str(rank))
        trainer_of(Recorder(tmp_path / "run.loop", name="b")).fit(batches(1))
    monkeypatch.setenv("WORLD_SIZE", "1")
    recorded(tmp_path / "other.loop", name="a")
    (tmp_path / "notes.txt").write_text("no recording")
    with open_recordings(tmp_path) as opened:
        assert [(r.meta.name, r.meta.rank) for r in opened][1:] == [("b", 0), ("b", 2), ("b", 10)]
        assert opened[0].meta.name == "a"


def test_a_folder_without_a_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="no recording in "), open_recordings(tmp_path):
        pass


def test_merged_totals_are_sums(tmp_path):
    traces = [Trace(), Trace()]
    one = recorded(tmp_path / "one.loop", traces[0], scalars=None)
    other = recorded(tmp_path / "other.loop", traces[1], epochs=3, scalars=None)
    merged = merge_totals([totals(one), totals(other)])
    assert sum(total.count for total in merged.transitions.values()) == sum(
        len(trace.signals) for trace in traces
    )
    ns = totals(one).phases["fit.ready"].ns + totals(other).phases["fit.ready"].ns
    assert merged.phases["fit.ready"].ns == ns


def test_a_damaged_recording_in_a_folder_is_skipped_with_a_warning(tmp_path):
    recorded(tmp_path / "good.loop").close()
    (tmp_path / "bad.loop").write_bytes(b"hello")
    with (
        pytest.warns(UserWarning, match=r"skipping .*bad\.loop"),
        open_recordings(tmp_path) as some,
    ):
        assert [one.path.name for one in some] == ["good.loop"]
    with pytest.raises(RecordingError, match=r"bad\.loop"), open_recordings(tmp_path / "bad.loop"):
        pass


def test_a_recording_that_is_gone_when_it_is_opened_is_skipped_without_a_word(tmp_path):
    recorded(tmp_path / "there.loop").close()
    (tmp_path / "gone.loop").symlink_to(tmp_path / "nowhere")
    with open_recordings(tmp_path) as some:
        assert [one.path.name for one in some] == ["there.loop"]
