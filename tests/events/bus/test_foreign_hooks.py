"""Methods that are named like the hooks of another library."""

import pytest
from helpers import trainer_of

from trackside import handlers
from trackside.events import SIGNALS, AttachError
from trackside.events.bus.foreign_hooks import _SIGNALS, same_moment


def handler_with(name):
    """A handler that receives a signal, and has a method of this name."""

    def method(self, trainer, state):
        pass

    return type("Mine", (), {"after_fit": method, name: method})()


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("before_batch", "fastai calls that before_batch, and it is begin_batch here"),
        ("before_step", "fastai calls that before_step, and it is begin_step here"),
        ("on_epoch_end", "Keras calls that on_epoch_end, and it is after_epoch here"),
        ("on_train_batch_start", "Lightning calls that .* it is begin_batch here"),
        ("ITERATION_COMPLETED", "ignite calls that ITERATION_COMPLETED, and it is after_batch"),
        ("on_step_end", "the Hugging Face Trainer calls that on_step_end, and it is after_batch"),
        ("epoch_end", "Composer calls that epoch_end, and it is after_epoch here"),
        ("pre_step", "the signal of that moment is begin_step"),
        ("post_batch", "the signal of that moment is after_batch"),
        ("on_loss_end", "the signal of that moment is after_loss"),
    ],
)
def test_a_hook_of_another_library_is_refused_with_the_signal_to_use(hook, said):
    with pytest.raises(AttachError, match=rf"Mine\.{hook} receives no signal: {said}"):
        trainer_of(handler_with(hook))


@pytest.mark.parametrize("name", ["setup", "my_epoch", "reset_batch", "stepper", "completed_rows"])
def test_a_helper_method_with_another_name_is_accepted(name):
    trainer_of(handler_with(name))


def test_every_hook_names_a_signal_that_exists():
    assert {signal for _, signal in _SIGNALS.values()} <= {*SIGNALS}


def test_no_signal_and_no_handler_of_ours_is_taken_for_a_foreign_hook():
    assert [name for name in SIGNALS if same_moment(name)] == []
    ours = [getattr(handlers, name) for name in handlers.__all__]
    assert [(c, n) for c in ours for n in dir(c) if n not in SIGNALS and same_moment(n)] == []
