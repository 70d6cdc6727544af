"""Pictures, as TensorBoard, W&B and MLflow read them back."""

import io
import json

import numpy
import pytest
import torch
from loggers import wandb_files
from PIL import Image
from shown import CLASSES, COUNTS, TEXTS, Shows, classified

from trackside import Interpretation, Metrics, MLflow, Samples, TensorBoard, WandB
from trackside.events import CancelFitException, Confusion, Example, Examples
from trackside.handlers.logging._picture_drawing import draw_picture, markdown_rows, picture_table

SHOWING = {"texts": TEXTS, "counts": COUNTS}


def fitted(logger, *handlers):
    trainer, batches = classified(Metrics(), *handlers, logger)
    trainer.fit(batches, batches, epochs=2)
    return trainer, batches


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    found.Reload()
    return found


def test_tensorboard_has_images_and_texts_at_the_step_of_each_epoch(tmp_path):
    samples = Samples(3)
    fitted(TensorBoard(tmp_path), samples, Shows(**SHOWING))
    found = events(tmp_path / "fit_0")
    assert {*found.Tags()["images"]} == {"valid_samples", "counts"}
    assert [event.step for event in found.Images("valid_samples")] == [3, 6]
    image = Image.open(io.BytesIO(found.Images("valid_samples")[-1].encoded_image_string))
    assert image.tobytes() == draw_picture(samples.pictures["valid"]).tobytes()
    texts = found.Tensors("texts/text_summary")
    assert texts[0].tensor_proto.string_val[0].decode() == markdown_rows(TEXTS)


def test_markup_in_a_text_is_text_in_markdown():
    assert markdown_rows(TEXTS).splitlines()[2] == r"| a\|b &lt;i> | yes 90% | no |"


def test_tensorboard_has_the_pictures_of_an_evaluation_after_the_fit(tmp_path):
    trainer, batches = fitted(TensorBoard(tmp_path), Interpretation(CLASSES))
    trainer.validate(batches, name="test")
    assert "test_confusion" in events(tmp_path / "fit_0").Tags()["images"]


class StopsAfterValidation:
    def after_validate(self, trainer, state):
        if state.epoch == 1:
            self.saved = trainer.state_dict()
            raise CancelFitException("enough")


def test_a_fit_that_resumes_before_the_epoch_ends_writes_the_pictures_of_its_validation(tmp_path):
    stops, shows = StopsAfterValidation(), Shows(**SHOWING, strange=object())
    stops.runs_after = ("Samples", "Shows")
    trainer, batches = classified(Samples(3), shows, stops)
    trainer.fit(batches, batches, epochs=2)
    pictures = stops.saved["position"]["pictures"]
    assert {*pictures} == {"valid_samples", "texts", "counts"}
    again, batches = classified(Samples(3), Shows(), TensorBoard(tmp_path))
    again.fit(batches, batches, epochs=2, resume=stops.saved)
    assert again.state.pictures["counts"] == COUNTS
    found = events(tmp_path / "fit_0")
    assert [event.step for event in found.Images("valid_samples")] == [6]
    assert found.Tensors("texts/text_summary")[0].step == 6
    stops.saved["position"]["pictures"]["counts"] = ["confusion", ["x"], [["1"]]]
    with pytest.raises(ValueError, match="position: pictures is"):
        again.fit(batches, batches, epochs=2, resume=stops.saved)


def test_pictures_with_values_of_numpy_are_saved_as_plain_data(tmp_path):
    classes = tuple(numpy.array(["a", "b"]))
    counts = Confusion(classes, ((1, 0), (0, 2)))
    texts = Examples((Example("x", "a", "b", False, numpy.float64(0.5)),))
    stops, shows = StopsAfterValidation(), Shows(counts=counts, texts=texts)
    stops.runs_after = ("Shows",)
    trainer, batches = classified(shows, stops)
    trainer.fit(batches, batches, epochs=2)
    file = tmp_path / "saved.pt"
    torch.save(stops.saved, file)
    read = torch.load(file, weights_only=True)["position"]["pictures"]
    assert read["counts"] == ["confusion", ["a", "b"], [[1, 0], [0, 2]]]
    assert read["texts"] == ["examples", [["x", "a", "b", False, 0.5]]]


def test_a_checkpoint_of_an_ended_epoch_holds_no_pictures():
    trainer, batches = classified(Samples(3))
    saved = []
    trainer.on("after_epoch")(lambda trainer, state: saved.append(trainer.state_dict()))
    trainer.fit(batches, batches, epochs=1)
    assert "pictures" not in saved[0]["position"]


def test_wandb_has_images_with_captions_its_own_chart_and_tables(offline, tmp_path):
    trainer, _ = fitted(WandB(dir=str(tmp_path)), Samples(2, classes=CLASSES), Shows(**SHOWING))
    (file,) = wandb_files(tmp_path)
    row = [row for row in file.history if "valid_samples/count" in row][-1]
    assert (row["step"], row["valid_samples/count"]) == (6, 2)
    shown = trainer.state.pictures["valid_samples"].examples
    assert row["valid_samples/captions"] == [
        f"prediction: {one.prediction}\ntarget: {one.target}" for one in shown
    ]
    [media] = tmp_path.glob("wandb/offline-run-*/files/media")
    names = [media.parent / name for name in row["valid_samples/filenames"]]
    with Image.open(names[0]) as image:
        assert image.size == (128, 128)
    assert table(media, row["texts/path"]) == [["a|b <i>", "yes 90%", "no"], ["c", "no", "no"]]
    cells = [["x", "x", 3], ["x", "y", 1], ["y", "x", 0], ["y", "y", 4]]
    assert table(media, row["counts_table/path"]) == cells


def table(media, path):
    return json.loads((media.parent / path).read_text(encoding="utf-8"))["data"]


def test_mlflow_has_images_of_each_step_and_tables(mlflow_uri, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_uri)
    client.create_experiment(tmp_path.name, (tmp_path / "artifacts").as_uri())
    logger = MLflow(tmp_path.name, mlflow_uri)
    fitted(logger, Samples(2), Shows(**SHOWING))
    images = [one.path for one in client.list_artifacts(logger.run_id, "images")]
    whole = [path for path in images if path.endswith(".png")]
    assert sorted(path.split("timestamp")[0].replace("%", "+") for path in whole) == [
        f"images/{name}+step+{step}+" for name in ("counts", "valid_samples") for step in (3, 6)
    ]
    tables = sorted(one.path for one in client.list_artifacts(logger.run_id, "texts"))
    assert tables == ["texts/step_3.json", "texts/step_6.json"]
    # no download, whose idle thread a loader of a later test would warn of
    (path,) = (tmp_path / "artifacts").rglob(tables[1])
    with path.open(encoding="utf-8") as file:
        assert json.load(file) == {
            "columns": ["input", "prediction", "target"],
            "data": [["a|b <i>", "yes 90%", "no"], ["c", "no", "no"]],
        }


@pytest.mark.parametrize("picture", [COUNTS, TEXTS, Examples(())])
def test_a_picture_is_drawn_whatever_it_has(picture):
    image = draw_picture(picture)
    assert image.mode == "RGB"
    assert min(image.size) > 0


def test_a_table_has_a_cell_for_each_column_whatever_the_examples_have():
    examples = (Example("a", "b", "c", None, 0.5), Example("d", "e"))
    columns = ["input", "prediction", "target", "loss"]
    assert picture_table(Examples(examples)) == (
        columns,
        [["a", "b", "c", 0.5], ["d", "e", "", None]],
    )
    assert picture_table(Examples(())) == (columns[:3], [])
    assert markdown_rows(Examples(examples)).splitlines()[3] == "| d | e |  |  |"
