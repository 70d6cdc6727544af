import copy
from pathlib import Path

import pytest
from helpers import batches, equal, trainer_of, weights

from trackside.engine.fit_state.sharded_tensors import StoredTensor
from trackside.engine.resume_source import place_of
from trackside.handlers import Checkpoint


def test_auto_begins_a_new_fit_in_an_empty_folder_and_resumes_the_next_time(tmp_path):
    through = trainer_of()
    through.fit(batches(), epochs=3)
    trainer_of(Checkpoint(tmp_path)).fit(batches(), epochs=1, resume="auto")
    second = trainer_of(Checkpoint(tmp_path))
    second.fit(batches(), epochs=3, resume="auto")
    assert second.state.step == 9
    assert equal(weights(second), weights(through))


@pytest.mark.parametrize("resume", [3, True, ["a"]])
def test_what_is_no_state_dict_and_no_path_is_refused(resume):
    with pytest.raises(TypeError, match=rf"found a {type(resume).__name__}; allowed: a state_dict"):
        trainer_of().fit(batches(), resume=resume)


def test_auto_without_a_checkpoint_handler_is_refused():
    with pytest.raises(ValueError, match=r'resume="auto"\) needs one Checkpoint .* found: none'):
        trainer_of().fit(batches(), resume="auto")


def test_auto_with_checkpoints_in_two_folders_is_refused(tmp_path):
    trainer = trainer_of(Checkpoint(tmp_path / "a"), Checkpoint(tmp_path / "b"))
    with pytest.raises(ValueError, match="needs one Checkpoint"):
        trainer.fit(batches(), resume="auto")


def test_a_folder_that_is_called_auto_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer_of(Checkpoint("auto")).fit(batches(), epochs=1)
    second = trainer_of()
    second.fit(batches(), epochs=2, resume=Path("auto"))
    assert second.state.step == 6


def test_a_trainer_knows_where_its_fit_has_begun(tmp_path):
    trainer = trainer_of()
    saved = []
    trainer.on("after_batch", once=True)(lambda trainer, state: saved.append(trainer.state_dict()))
    trainer.fit(batches(2))
    assert trainer.begins["from"] == "a new fit"
    trainer.fit(batches(2), resume=saved[0])
    assert trainer.begins["from"] == "from a state dict"
    assert (trainer.begins["epoch"], trainer.begins["step"]) == ("0", "1")

    saving = trainer_of(Checkpoint(tmp_path))
    saving.fit(batches(2), resume="auto")
    assert saving.begins["from"] == f"a new fit, as {tmp_path} has no checkpoint"
    saving.fit(batches(2), epochs=2, resume="auto")
    assert saving.begins["from"] == f"from {tmp_path}"
    saving.fit(batches(2), epochs=3, resume=tmp_path)
    assert saving.begins["from"] == f"from {tmp_path}"


@pytest.mark.parametrize("kind", ["whole", "in files"])
def test_several_ranks_compare_a_checksum_of_the_weights_with_which_they_begin(kind):
    trainer = trainer_of()
    trainer.state.world_size = 2

    def begun_with(changed):
        saved = copy.deepcopy(trainer.state_dict())
        for name, value in saved["model"].items():
            value[0] += name == changed
            if kind == "in files":
                stored = StoredTensor(value.shape, value.dtype, lambda a, b, all=value: all[a:b])
                saved["model"][name] = stored
        return place_of(trainer, None, {**saved, "phase": "fit.ready"})["weights"]

    names = [name for name, _ in trainer.state.model.named_parameters()]
    found = [begun_with(changed) for changed in (None, *names)]
    assert len({*found}) == len(found)
    assert begun_with(None) == found[0]


def test_one_process_compares_no_weights():
    trainer = trainer_of()
    assert "weights" not in place_of(trainer, None, trainer.state_dict())
