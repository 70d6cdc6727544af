"""The counters and what was rolled back are restored as they were saved."""

import json

from helpers import state_of

from trackside.engine.fit_state.fit_position import capture_position, restore_counters
from trackside.events import Rollback


def test_rollbacks_and_counted_batches_are_restored_as_they_were_saved():
    saved, restored = state_of(), state_of()
    saved.batches_found = 7, 9
    saved.rollbacks = [Rollback("loss is nan", 5, 2, (0, 3), (1, 4))]
    position = json.loads(json.dumps(capture_position(saved, [], {})))  # no tuples in a file
    restore_counters(restored, position)
    assert restored.batches_found == (7, 9)
    assert restored.rollbacks == saved.rollbacks


def test_counters_metrics_and_reports_are_restored_as_they_were_saved():
    saved, restored = state_of(epoch=2, batch_index=3, step=11, samples=40, tokens=9), state_of()
    saved.training = True
    saved.metrics["train_loss"] = 0.5
    saved.reports.add("rate", 0.1)
    restore_counters(restored, capture_position(saved, [], {}))
    names = ("epoch", "batch_index", "step", "samples", "tokens", "training")
    found = [getattr(restored, name) for name in names]
    assert found == [2, 3, 11, 40, 9, True]
    assert dict(restored.metrics) == dict(saved.metrics)
    assert restored.reports.pending == saved.reports.pending
    assert restored.reports.pending["rate"] == 0.1


def test_a_file_from_before_tokens_and_rollbacks_were_saved_has_none():
    position = capture_position(state_of(), [], {})
    for name in ("tokens", "batches_found", "rollbacks", "pictures"):
        position.pop(name, None)
    restored = state_of()
    restore_counters(restored, position)
    assert (restored.tokens, restored.batches_found, restored.rollbacks) == (0, None, [])
