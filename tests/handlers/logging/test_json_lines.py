import json
import math

import pytest
import torch
from helpers import batches, trainer_of
from loggers import json_rows

from trackside.handlers.logging.json_lines import JSONLines


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def row_of(path, **metrics):
    trainer = trainer_of(JSONLines(path))
    trainer.on("after_train")(lambda t, state: state.metrics.update(metrics))
    trainer.fit(batches(1))
    return json_rows(path)[-1]


def test_each_epoch_has_a_line_with_its_outcome(path):
    trainer_of(JSONLines(path)).fit(batches(), epochs=2)
    row = {"fit": 0, "epoch": 0, "step": 3, "samples": 12, "lr": 0.1, "outcome": "completed"}
    assert json_rows(path) == [row, {**row, "epoch": 1, "step": 6, "samples": 24}]


def test_step_lines_have_the_loss_and_no_outcome(path):
    trainer_of(JSONLines(path, every=2)).fit(batches(5))
    rows = json_rows(path)
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert [sorted({"loss", "outcome"} & row.keys()) for row in rows] == [
        ["loss"],
        ["loss"],
        ["outcome"],
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_floats_that_json_does_not_support_are_written_as_text(path, value, text):
    row_of(path, m=value, many=torch.tensor([[1.0, value]]))

    def refuse(constant):
        raise ValueError(constant)

    row = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert (row["m"], row["many"]) == (text, [[1.0, text]])
    assert repr(float(row["m"])) == repr(value)


def test_tensors_are_lists_and_a_mapping_is_flattened(path):
    row = row_of(path, matrix=torch.eye(2), many={"a": torch.tensor(1), "b": (2, 3)})
    assert row["matrix"] == [[1.0, 0.0], [0.0, 1.0]]
    assert (row["many_a"], row["many_b"]) == (1, [2, 3])


def test_a_meta_tensor_is_null(path):
    assert row_of(path, m=torch.empty(1, device="meta"))["m"] is None


def test_text_is_written_in_one_line(path):
    assert row_of(path, **{"a\nb": "c\nd"})["a\nb"] == "c\nd"
    assert len(path.read_bytes().splitlines()) == 1


def test_an_incomplete_last_line_is_removed(path):
    trainer_of(JSONLines(path)).fit(batches(1), epochs=2)
    path.write_bytes(path.read_bytes()[:-7])
    assert row_of(path)["fit"] == 1
    assert [row["epoch"] for row in json_rows(path)] == [0, 0]


def test_a_log_with_an_incomplete_first_line_starts_at_fit_0(path):
    path.write_text('{"fi', encoding="utf-8")
    assert row_of(path)["fit"] == 0
    assert len(json_rows(path)) == 1


def test_a_resumed_fit_says_that_lines_of_its_log_are_gone_and_goes_on(path, caplog):
    trainer = trainer_of(JSONLines(path))
    run = trainer.steps(batches(1), epochs=3)
    next(
        transition
        for transition in run
        if transition.trigger == "begin_epoch" and trainer.state.epoch == 2
    )
    saved = trainer.state_dict()
    run.close()
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    trainer_of(JSONLines(path)).fit(batches(1), epochs=3, resume=saved)
    assert "has 1 of its 2 lines" in caplog.text
    assert [row["epoch"] for row in json_rows(path)] == [0, 2]


def test_another_file_is_refused_and_kept(path):
    path.write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"JSONLines\(.*that file is not a log of JSONLines"):
        JSONLines(path)
    assert path.read_text(encoding="utf-8") == '{"mine": 1}'


def test_a_fit_without_an_epoch_leaves_no_file(path):
    trainer_of(JSONLines(path)).fit(batches(), epochs=0)
    assert not path.exists()
