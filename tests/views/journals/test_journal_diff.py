import json
import subprocess
import sys
import tracemalloc

import pytest
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import journal_of, lines_of, shift_inputs

from trackside import CancelBatchException, Checkpoint, Journal, Metrics, MixUp
from trackside.handlers.recording import journal
from trackside.views import JournalError, diff_journals
from trackside.views.commands.main import main
from trackside.views.journals import journal_reader


def test_two_equal_fits_have_equal_journals(tmp_path):
    a, b = (journal_of(tmp_path / name, Metrics(), blame=True) for name in ("a", "b"))
    result = diff_journals(a, b)
    assert result.difference is None
    assert result.transitions == sum("trigger" in line for line in lines_of(a))


@pytest.mark.parametrize("step", range(6))
def test_the_first_batch_with_other_inputs_is_found_and_its_writer(tmp_path, step):
    a = journal_of(tmp_path / "a", blame=True)
    b = journal_of(tmp_path / "b", blame=True, change=shift_inputs(step))
    found = diff_journals(a, b).difference
    assert found.name == "xb"
    assert found.writers == "shift in run B only"
    epoch, batch = divmod(step, 3)
    assert found.where == f"step {step}, begin_batch (epoch {epoch + 1}, batch {batch + 1})"


def test_a_handler_in_one_run_only_is_named(tmp_path):
    a = journal_of(tmp_path / "a", blame=True)
    b = journal_of(tmp_path / "b", MixUp(), blame=True)
    text = str(diff_journals(a, b))
    assert "step 0, begin_batch (epoch 1, batch 1): xb differs; written by MixUp" in text
    assert "in run B only" in text


def test_what_an_activity_made_differently_is_named_by_its_phase(tmp_path):
    def other_loss(trainer):
        trainer.wrap("train.batch.loss", doubled)

    def doubled(work):
        def double(state):
            trigger = work(state)
            state.loss = state.loss * 2
            return trigger

        return double

    a = journal_of(tmp_path / "a", blame=True)
    b = journal_of(tmp_path / "b", blame=True, change=other_loss)
    found = diff_journals(a, b).difference
    assert (found.name, found.writers) == ("loss", "the activity of fit.epoch.train.batch.loss")


def test_a_cancel_in_one_run_only_is_another_transition(tmp_path):
    def cancel(trainer):
        @trainer.on("after_loss", once=True)
        def raise_cancel(trainer, state):
            raise CancelBatchException("no")

    found = diff_journals(
        journal_of(tmp_path / "a"), journal_of(tmp_path / "b", change=cancel)
    ).difference
    assert (found.name, found.where) == ("transition", "step 0, begin_backward (epoch 1, batch 1)")
    assert found.b.startswith("after_cancel_batch to ")


def test_a_cancel_for_another_reason_is_named(tmp_path):
    def cancel(reason):
        def subscribe(trainer):
            @trainer.on("after_loss", once=True)
            def raise_cancel(trainer, state):
                raise CancelBatchException(reason)

        return subscribe

    a = journal_of(tmp_path / "a", change=cancel("too hard"))
    b = journal_of(tmp_path / "b", change=cancel("too easy"))
    found = diff_journals(a, b).difference
    assert (found.name, found.a, found.b) == ("reason", "too hard", "too easy")
    assert found.where == "step 0, after_cancel_batch (epoch 1, batch 1)"


def test_a_journal_without_a_transition_is_at_its_end(tmp_path):
    a = journal_of(tmp_path / "a")
    (tmp_path / "b").write_bytes(a.read_bytes().splitlines(keepends=True)[0])
    found = diff_journals(a, tmp_path / "b").difference
    assert (found.name, found.where) == ("end", "step 0, begin_fit, after the end of B")


def test_a_run_that_ends_earlier_is_said(tmp_path):
    a, b = journal_of(tmp_path / "a"), tmp_path / "b"
    kept = a.read_bytes().splitlines(keepends=True)[:20]
    b.write_bytes(b"".join(kept))
    found = diff_journals(a, b).difference
    assert found.name == "end"
    assert "after the end of B" in found.where


def test_a_reported_value_that_differs_is_found_unless_ignored(tmp_path):
    def report(value):
        def subscribe(trainer):
            trainer.on("after_train")(lambda trainer, state: state.report(score=value))

        return subscribe

    a = journal_of(tmp_path / "a", change=report(1))
    b = journal_of(tmp_path / "b", change=report(2))
    found = diff_journals(a, b).difference
    assert (found.name, found.a, found.b) == ("report of score", 1, 2)
    assert diff_journals(a, b, ignored=("score",)).difference is None


def resumed_fit(folder, path, **options):
    """The journal of a fit that is cut off after 4 steps, and resumed in the same file."""
    first = trainer_of(Journal(path), Checkpoint(folder, steps=3))

    @first.on("begin_batch", when=lambda _, state: state.step == 5)
    def die(trainer, state):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        first.fit(batches(), batches(2), epochs=3)
    newest = sorted(folder.glob("step-*"))[options.get("checkpoint", 0)]
    again = trainer_of(Journal(options.get("again", path)), Checkpoint(folder, steps=3))
    again.fit(batches(), batches(2), resume=newest)
    return path


def test_a_resumed_fit_in_one_file_reads_as_if_never_interrupted(tmp_path):
    a = journal_of(tmp_path / "a", epochs=3)
    b = resumed_fit(tmp_path / "c", tmp_path / "b")
    result = diff_journals(a, b)
    assert (
        str(result) == f"{sum('trigger' in x for x in lines_of(a))} transitions are equal in both"
    )
    assert len(lines_of(b)) > len(lines_of(a))


@pytest.mark.parametrize("order", [1, -1])
def test_a_resumed_fit_in_a_file_of_its_own_is_aligned_by_counters(tmp_path, order):
    whole = journal_of(tmp_path / "a", epochs=3)
    resumed_fit(tmp_path / "c", tmp_path / "b", again=tmp_path / "again")
    result = diff_journals(*[whole, tmp_path / "again"][::order])
    assert result.difference is None
    assert "begins at step 3, after_train (epoch 1, batch 3)" in str(result)
    assert 0 < result.transitions < sum("trigger" in line for line in lines_of(whole))


def test_a_twin_that_has_no_transition_in_common_is_refused(tmp_path):
    a = journal_of(tmp_path / "a", epochs=1)
    resumed_fit(tmp_path / "c", tmp_path / "b", again=tmp_path / "again", checkpoint=-1)
    with pytest.raises(JournalError, match="a transition that is not in"):
        diff_journals(a, tmp_path / "again")


def test_a_cut_off_last_line_is_told(tmp_path):
    a, b = journal_of(tmp_path / "a"), tmp_path / "b"
    b.write_bytes(a.read_bytes() + b'{"trigger": "begin')
    result = diff_journals(a, b)
    assert result.difference is None
    assert result.notes == (f"{b} is cut off: its last line is incomplete, and was left out",)


def test_fields_that_only_one_observes_are_told(tmp_path):
    a = journal_of(tmp_path / "a", fields=("loss", "xb"))
    b = journal_of(tmp_path / "b", fields=("loss", "yb"))
    assert diff_journals(a, b).notes == (
        "not compared, as both do not observe them in the same way: xb, yb",
    )


def test_a_journal_of_a_newer_version_is_refused_with_its_format(tmp_path):
    assert journal_reader.FORMAT == journal.FORMAT
    a = journal_of(tmp_path / "a", epochs=1)
    (tmp_path / "b").write_bytes(b'{"journal": 99}\n')
    with pytest.raises(JournalError, match="newer trackside wrote it in format 99; this one reads"):
        diff_journals(a, tmp_path / "b")


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b'{"journal": 0}\n', b"[1]\n", b"\x00\xff\n", b'{"journal": 1}']
)
def test_a_file_that_is_not_a_journal_is_one_error(tmp_path, content, capsys):
    (tmp_path / "b").write_bytes(content)
    a = journal_of(tmp_path / "a", epochs=1)
    with pytest.raises(JournalError, match="not a journal"):
        diff_journals(a, tmp_path / "b")
    assert main(["diff", str(a), str(tmp_path / "b")]) == 2
    assert main(["diff", str(a), str(tmp_path / "none")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_line_that_is_no_json_is_named_by_its_place(tmp_path):
    a = journal_of(tmp_path / "a", epochs=1)
    lines = a.read_bytes().splitlines(keepends=True)
    (tmp_path / "b").write_bytes(b"".join([*lines[:4], b"oops\n", *lines[4:]]))
    with pytest.raises(JournalError, match=f"at byte {sum(map(len, lines[:4]))} is b'oops"):
        diff_journals(a, tmp_path / "b")


def test_the_command_tells_a_difference_by_its_exit_code(tmp_path, capsys):
    a = journal_of(tmp_path / "a", blame=True)
    b = journal_of(tmp_path / "b", blame=True, change=shift_inputs(4))
    assert main(["diff", str(a), str(a)]) == 0
    assert main(["diff", str(a), str(b)]) == 1
    found = "step 4, begin_batch (epoch 2, batch 2): xb differs; written by shift in run B only"
    assert found in capsys.readouterr().out


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_value_of_a_journal_is_found_where_it_is(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("journals")
    lines = lines_of(journal_of(folder / "a", epochs=1))
    numbers = [n for n, line in enumerate(lines) if "trigger" in line and "fields" in line]
    line = lines[data.draw(st.sampled_from(numbers))]
    name = data.draw(st.sampled_from([*line["fields"]]))
    line["fields"][name] = "changed"
    (folder / "b").write_text("".join(json.dumps(one) + "\n" for one in lines))
    found = diff_journals(folder / "a", folder / "b").difference
    assert (found.name, found.b) == (name, "changed")
    place = f"(epoch {line['epoch'] + 1}, batch {line['batch'] + 1})"
    assert f"{line['trigger']} {place}" in found.where


def long_journal(path, batches):
    """A journal of `batches` batches, 8 transitions each, written without a fit."""
    source = journal_of(path.with_name("short"), epochs=1, valid=False)
    lines = lines_of(source)
    batch = [line for line in lines if line.get("batch") == 1][:8]
    with path.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines[:4])
        for number in range(batches):
            for line in batch:
                file.write(json.dumps(line | {"batch": number, "samples": 4 * number}) + "\n")


def peak_of_diff(path):
    tracemalloc.start()
    try:
        result = diff_journals(path, path)
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_comparing_journals_takes_less_memory_than_they_have_bytes(tmp_path):
    long_journal(tmp_path / "long", 1000)
    result, peak = peak_of_diff(tmp_path / "long")
    assert result.transitions > 8000
    assert peak < (tmp_path / "long").stat().st_size / 3


DIFF_IN_A_PROCESS = """
import resource, sys
from trackside.views import diff_journals
transitions = diff_journals(sys.argv[1], sys.argv[1]).transitions
print(transitions, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def diff_in_a_process(path):
    """Transitions, and the peak memory in KiB of a process that does nothing else."""
    command = [sys.executable, "-c", DIFF_IN_A_PROCESS, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return map(int, done.stdout.split())


@pytest.mark.long
def test_ten_million_lines_are_compared_in_constant_memory(tmp_path):
    long_journal(tmp_path / "small", 10)
    long_journal(tmp_path / "long", 1_250_000)
    _, least = diff_in_a_process(tmp_path / "small")
    transitions, peak = diff_in_a_process(tmp_path / "long")
    assert transitions > 9_999_990
    assert peak - least < 20 * 1024


def test_facts_that_differ_are_notes_and_no_difference(tmp_path):
    trainer = trainer_of(Journal(tmp_path / "a"))
    trainer.fit(batches(), epochs=1, seed=1)
    other = (tmp_path / "a").read_text().replace('"seed": 1', '"seed": 2')
    (tmp_path / "b").write_text(other)
    found = diff_journals(tmp_path / "a", tmp_path / "b")
    assert found.difference is None
    assert found.notes == ("facts: seed is 1 in A, 2 in B",)


def test_a_header_without_its_fields_is_refused_with_their_names(tmp_path):
    path = tmp_path / "a"
    path.write_text('{"journal": 1, "fields": [], "full": [], "every": 1}\n')
    with pytest.raises(JournalError, match=r"the header of the journal .* has no blame, rows"):
        diff_journals(path, path)
