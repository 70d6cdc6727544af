import json
from urllib.error import URLError

import numpy
import pytest
import torch
from helpers import Trace, batches, model, raise_at, trainer_of, weights
from journals import journal_of, lines_of, shift_inputs
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from trackside import CancelBatchException, Journal, Metrics
from trackside.handlers.recording._field_digest import digest, in_full


def from_full(value):
    """The value that `in_full` wrote, with tensors on the CPU."""
    if isinstance(value, dict) and value.keys() == {"dtype", "values"}:
        return torch.tensor(numbers_of(value["values"]), dtype=getattr(torch, value["dtype"]))
    if isinstance(value, dict):
        return {key: from_full(part) for key, part in value.items()}
    return [from_full(part) for part in value] if isinstance(value, list) else value


def numbers_of(values):
    if isinstance(values, list):
        return [numbers_of(part) for part in values]
    return float(values) if isinstance(values, str) else values


def test_each_transition_is_a_line_with_its_counters(tmp_path):
    trace = Trace()
    lines = lines_of(journal_of(tmp_path / "a.jsonl", trace))
    written = [line for line in lines if "trigger" in line]
    assert [line["trigger"] for line in written] == trace.signals
    last = {name: written[-1][name] for name in ("epoch", "batch", "step", "samples", "to")}
    assert last == {"epoch": 1, "batch": 1, "step": 6, "samples": 24, "to": "completed"}


def test_a_field_is_written_where_it_changes(tmp_path):
    lines = lines_of(journal_of(tmp_path / "a.jsonl", fields=("xb", "loss")))
    batch = next(n for n, line in enumerate(lines) if line.get("trigger") == "begin_batch")
    changed = [{*line.get("fields", {})} for line in lines[batch : batch + 8]]
    assert changed == [{"xb", "loss"}, set(), {"loss"}, set(), set(), set(), set(), set()]


def test_a_field_in_full_has_all_its_values(tmp_path):
    lines = lines_of(journal_of(tmp_path / "a.jsonl", fields=(), full=("xb",), valid=False))
    written = [line["fields"]["xb"] for line in lines if line.get("trigger") == "begin_batch"]
    assert torch.equal(from_full(written[0]), batches()[0][0])


def test_fields_of_every_second_batch_are_written(tmp_path):
    path = journal_of(tmp_path / "a.jsonl", fields=("xb",), every=2, valid=False, epochs=1)
    begun = [line for line in lines_of(path) if line.get("trigger") == "begin_batch"]
    assert ["fields" in line for line in begun] == [True, False, True]


def test_blame_names_the_receiver_that_changed_a_field(tmp_path):
    path = journal_of(tmp_path / "a.jsonl", blame=True, change=shift_inputs(4))
    wrote = [line for line in lines_of(path) if line.get("wrote")]
    assert [(line["by"], line["at"], [*line["wrote"]]) for line in wrote] == [
        ("shift", "begin_batch", ["xb"])
    ]


def test_blame_sees_weights_and_gradients_and_rates(tmp_path):
    def meddle(trainer, state):
        with torch.no_grad():
            next(iter(state.model.parameters())).add_(1)
            next(iter(state.model.parameters())).grad.mul_(2)
        state.optimizer.param_groups[0]["lr"] = 0.5

    fields = ("model.weights", "model.gradients", "optimizer.lr", "xb")
    path = journal_of(
        tmp_path / "a.jsonl",
        fields=fields,
        blame=True,
        epochs=1,
        change=lambda trainer: trainer.on("begin_step", once=True)(meddle),
    )
    wrote = [line for line in lines_of(path) if line.get("wrote")]
    assert [{*line["wrote"]} for line in wrote] == [{*fields[:3]}]


def test_what_changes_at_the_very_end_is_in_the_same_journal(tmp_path):
    def change(trainer):
        @trainer.on("after_fit")
        def lengthen(trainer, state):
            state.n_epochs = 9

    path = journal_of(tmp_path / "a.jsonl", fields=("n_epochs",), blame=True, change=change)
    lines = lines_of(path)
    assert lines[-1]["wrote"] == {"n_epochs": 9}
    assert sum("journal" in line for line in lines) == 1


def test_a_cancel_is_written_with_its_reason(tmp_path):
    trainer = trainer_of(Journal(tmp_path / "a.jsonl"))
    raise_at(trainer, "after_loss", CancelBatchException)
    trainer.fit(batches())
    closed = [line for line in lines_of(tmp_path / "a.jsonl") if "closed_by" in line]
    assert [line["trigger"] for line in closed] == ["after_cancel_batch", "after_batch"]
    assert {(line["closed_by"], line["reason"]) for line in closed} == {
        ("CancelBatchException", "at after_loss")
    }


def test_reported_metrics_are_written(tmp_path):
    lines = lines_of(journal_of(tmp_path / "a.jsonl", Metrics()))
    reports = [[*line["reported"]] for line in lines if "reported" in line]
    assert reports == [["train_loss"], ["valid_loss"]] * 2


def test_a_journal_changes_nothing_of_the_fit(tmp_path):
    plain, observed = trainer_of(), trainer_of(Journal(tmp_path / "a.jsonl", blame=True))
    for trainer in (plain, observed):
        trainer.fit(batches(), batches(2), epochs=2)
    assert all(map(torch.equal, weights(plain), weights(observed)))


def test_every_line_is_strict_json(tmp_path):
    def spoil(trainer):
        @trainer.on("after_loss")
        def write_nan(trainer, state):
            state.loss = state.loss * torch.nan

    path = journal_of(tmp_path / "a.jsonl", full=("loss",), change=spoil)

    def refuse(name):
        raise AssertionError(name)

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert '"NaN"' in path.read_text()


def test_a_line_that_a_killed_process_cut_off_is_removed_when_continued(tmp_path):
    path = journal_of(tmp_path / "a.jsonl")
    whole = len(path.read_bytes())
    path.write_bytes(path.read_bytes() + b'{"trigger": "begin_b')
    journal_of(path)
    assert path.read_bytes()[whole:].startswith(b'{"journal": 1')
    assert lines_of(path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, ValueError, "every=0"),
        ({"fields": "loss"}, TypeError, "allowed: a tuple of names"),
        ({"fields": (3,)}, TypeError, "3 is a int"),
        ({"fields": ("los",)}, ValueError, "no field 'los'; did you mean loss"),
        ({"full": ("xbatch",)}, ValueError, "no field 'xbatch'"),
    ],
)
def test_a_wrong_option_is_refused(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        trainer_of(Journal(tmp_path / "a.jsonl", **options))


def test_a_journal_of_a_newer_version_is_not_continued(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"journal": 2, "fields": []}\n')
    with pytest.raises(ValueError, match="newer trackside wrote that file in format 2"):
        Journal(path)
    path.write_text('{"journal": 1')  # a killed process has cut it
    assert Journal(path).path == path


def test_a_file_that_is_not_a_journal_is_not_touched(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("important")
    with pytest.raises(ValueError, match="is not a journal"):
        Journal(path)
    with pytest.raises(ValueError, match="is a folder"):
        Journal(tmp_path)
    assert path.read_text() == "important"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(4), torch.zeros(2, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        ([torch.zeros(1)], (torch.zeros(1), torch.zeros(1))),
        ({"a": torch.zeros(1)}, {"b": torch.zeros(1)}),
        (model(0), model(1)),
        ("a" * 300, "b" * 300),
        (numpy.zeros(2), numpy.ones(2)),
        (numpy.zeros(2), numpy.zeros(2, dtype=numpy.int64)),
        (torch.empty(2, device="meta"), torch.empty(3, device="meta")),
    ],
)
def test_different_contents_have_different_digests(one, other):
    assert digest(one) != digest(other)


def test_equal_contents_have_equal_digests_wherever_they_are():
    rows = torch.arange(12.0).reshape(3, 4)
    assert digest(rows.T) == digest(rows.T.contiguous())
    assert digest(model(0)) == digest(model(0).state_dict())
    assert digest(rows.to_sparse()) == digest(rows)


def test_the_digest_of_a_sharded_tensor_is_that_of_the_part_that_is_here(group):
    rows = torch.arange(6.0)
    mesh = init_device_mesh("cpu", (1,))
    assert digest(distribute_tensor(rows, mesh, [Shard(0)])) == digest(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_value_in_full_is_read_back_bit_for_bit(dtype):
    value = {"x": [torch.tensor([[0.1, -3.7], [1e-9, 2.0]]).to(dtype), None, 3]}
    back = from_full(json.loads(json.dumps(in_full(value))))
    assert torch.equal(back["x"][0], value["x"][0])
    assert back["x"][1:] == [None, 3]


def test_an_error_of_the_journal_around_a_receiver_detaches_it_and_the_fit_goes_on(
    tmp_path, monkeypatch, caplog
):
    journal = Journal(tmp_path / "a.jsonl", fields=("xb",), blame=True)
    trainer = trainer_of(journal, Metrics())
    monkeypatch.setattr(journal, "_blame", lambda *arguments: 1 / 0)
    assert trainer.fit(batches()).outcome == "completed"
    assert journal not in trainer.handlers
    assert "Journal failed around a receiver" in caplog.text


def test_a_receiver_that_is_watched_may_detach_the_journal(tmp_path):
    journal = Journal(tmp_path / "a.jsonl", fields=("step",), blame=True)
    trainer = trainer_of(journal)
    trainer.on("after_loss", once=True)(lambda trainer, state: trainer.detach(journal))
    assert trainer.fit(batches()).outcome == "completed"
    assert lines_of(journal.path)[-1]["trigger"] == "after_loss"


def test_an_error_whose_reason_is_no_text_is_written(tmp_path):
    path = tmp_path / "a.jsonl"
    trainer = trainer_of(Journal(path))

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise URLError(OSError("no host"))

    with pytest.raises(URLError):
        trainer.fit(batches())
    assert lines_of(path)[-1]["reason"] == "<urlopen error no host>"


def test_a_number_of_numpy_is_written_as_a_number():
    assert in_full(numpy.float64(0.5)) == 0.5


def test_each_run_has_a_header_with_its_facts(tmp_path):
    trainer = trainer_of(Journal(tmp_path / "a.jsonl"))
    for seed in (1, 2):
        trainer.fit(batches(), seed=seed)
    headers = [line for line in lines_of(tmp_path / "a.jsonl") if "journal" in line]
    assert [header["facts"]["seed"] for header in headers] == [1, 2]
    assert headers[0]["roles"]["batch"] == "unit"


def test_a_journal_that_is_attached_to_another_trainer_in_its_fit_has_a_header(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    first, other = trainer_of(journal), trainer_of(Trace())
    first.fit(batches(1))
    first.detach(journal)
    other.on("begin_train", once=True)(lambda trainer, state: trainer.attach(journal))
    other.fit(batches(1))
    headers = [line for line in lines_of(tmp_path / "a.jsonl") if "journal" in line]
    assert [header["handlers"] for header in headers] == [["Journal"], ["Trace", "Journal"]]
