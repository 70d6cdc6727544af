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


def test_a_file_from_before_tokens_and_rollbacks_were_saved_has_none():
    position = capture_position(state_of(), [], {})
    for name in ("tokens", "batches_found", "rollbacks", "pictures"):
        position.pop(name, None)
    restored = state_of()
    restore_counters(restored, position)
    assert (restored.tokens, restored.batches_found, restored.rollbacks) == (0, None, [])
