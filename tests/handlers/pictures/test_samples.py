"""What Samples shows of an evaluation."""

import io
import logging

import pytest
import torch
from PIL import Image
from shown import CLASSES, classified
from torch import nn

from trackside import CancelValidException, Samples, Trainer
from trackside.events import Example


def opened(png):
    return Image.open(io.BytesIO(png))


def shown(samples, name="valid"):
    return samples.pictures[name].examples


def regression(samples, x, y, model=None):
    """One evaluation of a model that returns its input."""
    trainer = Trainer(model or nn.Identity(), nn.MSELoss(), handlers=[samples])
    trainer.validate([(x, y)])
    return shown(samples)


def test_the_first_examples_are_shown_with_class_and_probability():
    samples = Samples(10, classes=CLASSES)
    trainer, batches = classified(samples)
    trainer.fit(batches, batches, epochs=1)

    scores = torch.cat([trainer.state.model(x) for x, _ in batches])[:10].softmax(1)
    found = shown(samples)
    assert [one.target for one in found] == [CLASSES[i % 3] for i in range(10)]
    for one, score in zip(found, scores, strict=True):
        assert one.prediction == f"{CLASSES[score.argmax()]} {score.max():.0%}"
        assert one.is_right == one.prediction.startswith(one.target)


@pytest.mark.parametrize("count", [1, 2])
def test_whether_scores_are_probabilities_is_told_by_the_whole_batch(count):
    scores, targets = torch.tensor([[0.75, 0.25], [3.0, -1.0]]), torch.tensor([0, 0])
    samples = Samples(count)
    Trainer(nn.Identity(), nn.CrossEntropyLoss(), handlers=[samples]).validate([(scores, targets)])
    assert shown(samples)[0].prediction == "0 62%"  # softmax of its logits


def test_images_are_pngs_of_the_pixels_of_the_inputs():
    samples = Samples(2)
    trainer, batches = classified(samples, channels=3)
    trainer.fit(batches, batches)
    image = opened(shown(samples)[1].input)
    assert (image.mode, image.size) == ("RGB", (8, 8))
    expected = (batches[0][0][1] * 255).round().byte().permute(1, 2, 0)
    assert image.tobytes() == bytes(expected.flatten().tolist())


def test_a_normalised_image_is_shown_as_it_was():
    pixels = torch.randint(256, (1, 3, 8, 8)) / 255
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    normal = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    found = regression(Samples(1, mean=mean, std=std), normal, normal)
    expected = (pixels[0] * 255).round().byte().permute(1, 2, 0).flatten().tolist()
    assert opened(found[0].input).tobytes() == bytes(expected)
    assert found[0].prediction == found[0].target == found[0].input


def test_floats_that_are_no_colours_are_stretched():
    ramp = torch.linspace(-3, 5, 16).reshape(1, 1, 4, 4)
    image = opened(regression(Samples(1), ramp, ramp)[0].input)
    assert image.getextrema() == (0, 255)


def test_values_that_are_not_finite_do_not_hide_the_others():
    pixels = torch.linspace(-2, 2, 16).reshape(1, 1, 4, 4)
    pixels[0, 0, 0, :3] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    [one] = regression(Samples(1), pixels, pixels)
    found = [*opened(one.input).tobytes()]
    assert found[:3] == [255, 0, 0]
    assert found[3:] == sorted(found[3:])
    assert (found[3], found[-1]) == (0, 255)


def test_a_large_image_is_shrunk_to_the_longest_edge():
    found = regression(Samples(1, size=16), torch.rand(1, 3, 64, 32), torch.rand(1, 3, 64, 32))
    assert opened(found[0].input).size == (8, 16)


def test_bytes_of_an_image_are_shown_unchanged():
    pixels = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
    samples = Samples(1, show=lambda x, pred, y: (pixels[0], None, None))
    [one] = regression(samples, torch.ones(1, 2), torch.ones(1, 2))
    assert opened(one.input).tobytes() == bytes(pixels[0].permute(1, 2, 0).flatten().tolist())


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "F", "P"])
def test_an_image_of_pillow_is_a_png_of_at_most_the_given_size(mode):
    image = Image.new("RGB", (64, 32), "red").convert("L" if mode == "F" else "RGB").convert(mode)
    samples = Samples(1, size=16, show=lambda x, pred, y: (image, "", ""))
    [one] = regression(samples, torch.ones(1, 2), torch.ones(1, 2))
    assert opened(one.input).size == (16, 8)
    assert image.size == (64, 32)


def test_segmentation_is_shown_as_maps_in_the_colours_of_the_classes():
    scores = torch.zeros(1, 3, 4, 4)
    scores[0, 1, :2] = scores[0, 2, 2:] = 1.0
    targets = torch.zeros(1, 4, 4, dtype=torch.long)
    targets[0, :2] = 1
    samples = Samples(1)
    trainer = Trainer(nn.Identity(), nn.CrossEntropyLoss(), handlers=[samples])
    trainer.validate([(scores, targets)])
    prediction, target = (opened(part) for part in shown(samples)[0][1:3])
    assert prediction.getpixel((0, 0)) == target.getpixel((0, 0)) != (0, 0, 0)
    assert prediction.getpixel((0, 3)) != target.getpixel((0, 3)) == (0, 0, 0)


def test_a_large_map_of_classes_is_shrunk_without_mixing_them():
    targets = torch.zeros(1, 32, 64, dtype=torch.long)
    targets[0, :, 20:] = 2
    samples = Samples(1, size=16)
    trainer = Trainer(nn.Identity(), lambda pred, y: pred.sum(), handlers=[samples])
    trainer.validate([(torch.zeros(1, 3, 32, 64), targets)])
    image = opened(shown(samples)[0].target)
    assert image.size == (16, 8)
    assert len(image.getcolors()) == 2


def test_a_target_that_is_a_text_is_shown_beside_the_scores():
    samples = Samples(2)
    trainer = Trainer(nn.Identity(), lambda pred, y: pred.sum(), handlers=[samples])
    trainer.validate([(torch.eye(2), ["left", "right"])])
    assert [(one.prediction, one.target) for one in shown(samples)] == [
        ("1, 0", "left"),
        ("0, 1", "right"),
    ]


def test_vectors_and_numbers_are_texts():
    found = regression(Samples(2), torch.tensor([[1.0, 2.5], [3.0, 4.0]]), torch.ones(2, 2))
    assert found[0] == Example("1, 2.5", "1, 2.5", "1, 1")


def test_as_text_shows_no_image_and_needs_no_pillow(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    found = regression(Samples(1, as_="text"), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    assert found[0].input == "0, 0, 0, 0, 0, 0, 0, 0, … (1, 4, 4)"
    with pytest.raises(ImportError, match=r"pip install 'trackside\[pictures\]'"):
        Samples(1)


def test_show_decides_what_is_shown():
    words = ["a", "b"]

    def show(x, pred, y):
        return words[int(x[0])], Image.new("RGB", (5, 6)), y.expand(1, 4, 4)

    found = regression(Samples(2, show=show), torch.tensor([[1.0], [0.0]]), torch.ones(2, 1))
    assert [one.input for one in found] == ["b", "a"]
    assert opened(found[0].prediction).size == (5, 6)
    assert opened(found[0].target).size == (4, 4)


def test_what_show_returns_as_a_number_is_rounded_and_nothing_is_empty():
    samples = Samples(1, show=lambda x, pred, y: (1 / 3, None, 7))
    assert regression(samples, torch.ones(1, 1), torch.ones(1, 1)) == (Example("0.3333", "", "7"),)


def test_texts_in_a_batch_are_shown_each_with_its_example():
    class Length(nn.Module):
        def forward(self, text, **others):
            return torch.tensor([[float(len(one))] for one in text])

    for inputs, first in (({"text": ["a", "bcd", "e"]}, "text: a"), (["a", "bcd", "e"], "a")):
        samples = Samples(2)
        trainer = Trainer(Length(), nn.MSELoss(), handlers=[samples])
        trainer.validate([(inputs, torch.ones(3, 1))])
        assert shown(samples)[0].input == first
        assert [one.prediction for one in shown(samples)] == ["1", "3"]


def test_take_chooses_the_prediction_of_an_output_with_several_parts():
    class Model(nn.Module):
        def forward(self, x):
            return {"logits": x, "loss": x.sum()}

    samples = Samples(1, take=lambda state: (state.pred["logits"], state.batch[1]))
    trainer = Trainer(Model(), handlers=[samples])
    trainer.validate([(torch.tensor([[0.0, 2.0]]), torch.tensor([1]))])
    assert shown(samples)[0].prediction == "1 88%"


def test_each_evaluation_has_its_own_samples():
    samples = Samples(1)
    trainer, batches = classified(samples)
    trainer.fit(batches, {"near": batches, "far": batches[1:]})
    assert [*trainer.state.pictures] == ["near_samples", "far_samples"]
    assert shown(samples, "near") != shown(samples, "far")


def test_pictures_of_an_epoch_are_gone_in_the_next():
    trainer, batches = classified(Samples(1))
    seen = []
    trainer.on("after_train")(lambda t, state: seen.append([*state.pictures]))
    trainer.on("after_epoch")(lambda t, state: seen.append([*state.pictures]))
    trainer.fit(batches, batches, epochs=2)
    assert seen == [[], ["valid_samples"]] * 2


def test_what_a_cancelled_evaluation_has_seen_is_shown():
    samples = Samples(20)
    trainer, batches = classified(samples)

    @trainer.on("after_loss")
    def stop(trainer, state):
        if not state.training and state.batch_index == 1:
            raise CancelValidException("enough")

    trainer.fit(batches, batches)
    assert len(shown(samples)) == 8


def test_training_and_predictions_are_not_shown():
    samples = Samples(3)
    trainer, batches = classified(samples)
    trainer.fit(batches)
    trainer.predict(batches)
    assert samples.pictures == trainer.state.pictures == {}


def test_nothing_is_read_from_the_device_in_a_batch():
    samples = Samples(3)
    trainer, batches = classified(samples)
    trainer.state.model.to("meta")
    with trainer.attach(_Ends(trainer)):
        trainer.validate([(x.to("meta"), y.to("meta")) for x, y in batches])


class _Ends:
    """Ends the evaluation before it is shown: reading a meta tensor is an error."""

    def __init__(self, trainer):
        self.trainer = trainer

    def after_batch(self, trainer, state):
        if state.batch_index == 2:
            [samples] = [one for one in trainer.handlers if isinstance(one, Samples)]
            assert len(samples._taken) == 1
            samples._taken = []


def test_a_show_that_fails_is_detached_and_the_fit_goes_on(caplog):
    samples = Samples(1, show=lambda x, pred, y: "one text")
    trainer, batches = classified(samples)
    with caplog.at_level(logging.ERROR):
        trainer.fit(batches, batches, epochs=2)
    assert trainer.state.outcome == "completed"
    assert "allowed: a tuple of what is shown as input, prediction and target" in caplog.text
    assert samples not in trainer.handlers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "an int, from 1"),
        ({"as_": "picture"}, "allowed: 'image', 'text', None"),
        ({"take": 3}, "expected a function of the state"),
        ({"size": 1.5}, "an int, from 1"),
        ({"size": 5000}, "allowed: up to 4096 pixels"),
        ({"classes": "abc"}, r"classes='abc'\): allowed: a list of names, None"),
        ({"mean": [0.5, 0.5]}, "mean=.* has 2 numbers; allowed: a number for each of 1, 3 or 4"),
        ({"std": 0.5}, "std=0.5.: allowed: a number for each of"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Samples(**arguments)


def test_a_notebook_shows_the_samples_as_a_table_of_escaped_texts():
    samples = Samples(3, classes=CLASSES)
    assert "no evaluation has ended" in samples._repr_html_()
    trainer, batches = classified(samples)
    trainer.fit(batches, batches)
    html = samples._repr_html_()
    assert html.count('src="data:image/png;base64,') == 3
    assert "&lt;b&gt;two&lt;/b&gt;" in html
    assert "<b>two" not in html
