import pytest

from trackside.engine.layout.edges import wrap_trigger


@pytest.mark.parametrize(
    ("trigger", "lines"),
    [
        ("after_loss", ("after_loss",)),
        ("after_cancel_validate", ("after_cancel_", "validate")),
        ("averyveryverylongtrigger", ("averyveryverylongtrigger",)),
        ("_veryveryverylongtrigger", ("_veryveryverylongtrigger",)),
        ("averyveryverylongtrigger_", ("averyveryverylongtrigger_",)),
    ],
)
def test_a_long_trigger_is_wrapped_at_its_last_underscore_if_both_lines_have_words(trigger, lines):
    assert wrap_trigger(trigger) == lines
