"""Pictures stay in a recording, in a part of a bounded size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown import CLASSES, COUNTS, TEXTS, Shows, classified

from trackside import Interpretation, Metrics, Recorder, Samples
from trackside.events import Confusion, Example, Examples
from trackside.handlers.recording import _mapped_file
from trackside.handlers.recording._picture_writer import _Kept, _thinned
from trackside.handlers.recording.format import Live
from trackside.views import Recording


def fitted(path, *handlers, epochs=3):
    trainer, batches = classified(*handlers, Metrics(), Recorder(path, records=256))
    trainer.fit(batches, batches, epochs=epochs)
    return trainer, batches


def test_the_pictures_of_each_epoch_are_read_back_as_they_were(tmp_path):
    seen = []

    class Keep:
        def after_epoch(self, trainer, state):
            seen.append((state.epoch, state.step, dict(state.pictures)))

    path = tmp_path / "run.loop"
    fitted(
        path, Recorder(tmp_path / "first.loop", records=256), Keep(), Samples(2, classes=CLASSES)
    )
    for name in ("run.loop", "first.loop"):  # also of a recorder that was attached before
        with Recording(tmp_path / name) as recording:
            found = recording.pictures()
            assert recording.picture_revision == 3
        assert [(one.epoch, one.step) for one in found] == [place[:2] for place in seen]
        assert [{one.name: one.picture} for one in found] == [pictures for *_, pictures in seen]
        assert [one.time_ns for one in found] == sorted(one.time_ns for one in found)


def test_matrices_texts_and_losses_that_are_not_finite_are_kept(tmp_path):
    bad = Examples((Example("a", "b", "c", True, math.nan), Example("a", "b", loss=0.5)))
    shows = Shows(texts=TEXTS, counts=COUNTS, bad=bad)
    fitted(tmp_path / "run.loop", shows, epochs=1)
    with Recording(tmp_path / "run.loop") as recording:
        found = {one.name: one.picture for one in recording.pictures()}
    assert found["texts"] == TEXTS
    assert found["counts"] == COUNTS
    assert [one.loss for one in found["bad"].examples] == [None, 0.5]


def test_an_evaluation_after_the_fit_is_recorded_whichever_was_attached_first(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", records=256)
    trainer, batches = classified(recorder, Interpretation(CLASSES))
    trainer.fit(batches, batches)
    trainer.validate(batches, name="test")
    with Recording(tmp_path / "run.loop") as recording:
        names = [one.name for one in recording.pictures()]
    assert names == ["valid_confusion", "valid_worst", "test_confusion", "test_worst"]


def test_a_full_part_keeps_the_newest_of_each_name(tmp_path, monkeypatch):
    monkeypatch.setattr(_mapped_file, "PICTURE_BYTES", 1501)
    fitted(tmp_path / "run.loop", Shows(texts=TEXTS, counts=COUNTS), epochs=30)
    with Recording(tmp_path / "run.loop") as recording:
        assert recording.layout.picture_bytes == 1501
        found = recording.pictures()
    for name in ("texts", "counts"):
        epochs = [one.epoch for one in found if one.name == name]
        assert epochs[-1] == 29
        assert 2 < len(epochs) < 15
        assert epochs == sorted(epochs)


def test_a_picture_that_is_too_large_is_named_in_the_log_and_others_are_kept(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(_mapped_file, "PICTURE_BYTES", 512)
    large = Examples((Example("x" * 600, "b"),))
    fitted(tmp_path / "run.loop", Shows(large=large, counts=COUNTS), epochs=1)
    with Recording(tmp_path / "run.loop") as recording:
        assert [one.name for one in recording.pictures()] == ["counts"]
    assert "large has" in caplog.text


def test_of_two_that_have_no_room_together_the_smaller_one_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(_mapped_file, "PICTURE_BYTES", 512)
    large = Examples((Example("x" * 300, "b"),))
    fitted(tmp_path / "run.loop", Shows(large=large, counts=COUNTS, texts=TEXTS), epochs=1)
    with Recording(tmp_path / "run.loop") as recording:
        assert [one.name for one in recording.pictures()] == ["counts", "texts"]


def test_what_is_no_picture_is_named_in_the_log_and_the_recording_goes_on(tmp_path, caplog):
    bad = {"text": "a", "parts": Examples(("a",)), "bytes": Confusion((b"x",), ((1,),))}
    trainer, _ = fitted(tmp_path / "run.loop", Shows(counts=COUNTS, **bad), epochs=2)
    with Recording(tmp_path / "run.loop") as recording:
        assert [one.name for one in recording.pictures()] == ["counts"] * 2
    assert any(isinstance(handler, Recorder) for handler in trainer.handlers)
    for name in bad:
        assert f"state.pictures['{name}'] is not kept: " in caplog.text
    assert "it is str; allowed: Examples, Confusion" in caplog.text


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), max_size=30), st.data())
def test_what_is_left_out_makes_room_for_the_newest(sizes, data):
    kept = [_Kept(name, bytes(size)) for name, size in sizes]
    newest = {one.name: one for one in kept}
    room = sum(len(one.text) + 1 for one in newest.values()) + 1
    most = data.draw(st.integers(room, room + 200))
    left = _thinned(kept, most)
    assert sum(len(one.text) + 1 for one in left) + 1 <= most
    assert {id(one) for one in newest.values()} <= {id(one) for one in left}
    places = [next(at for at, one in enumerate(kept) if one is each) for each in left]
    assert places == sorted(places)


def test_without_pictures_nothing_is_written(tmp_path):
    fitted(tmp_path / "run.loop", epochs=1)
    with Recording(tmp_path / "run.loop") as recording:
        assert (recording.pictures(), recording.picture_revision) == ([], 0)


def test_a_write_that_is_interrupted_before_its_last_store_leaves_the_pictures_before(
    tmp_path, monkeypatch
):
    writes, real = [], _mapped_file.RecordingFile.set_live

    def set_live(self, place, number):
        if place == Live.PICTURES:
            writes.append(number)
            if len(writes) == 2:
                raise KeyboardInterrupt
        real(self, place, number)

    monkeypatch.setattr(_mapped_file.RecordingFile, "set_live", set_live)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run.loop", Shows(texts=TEXTS))
    with Recording(tmp_path / "run.loop") as recording:
        assert [(one.epoch, one.picture) for one in recording.pictures()] == [(0, TEXTS)]
