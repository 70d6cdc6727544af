"""The hooks of other training libraries, and the signal that is sent at the same moment here."""

from __future__ import annotations

import re

_OF_LIBRARIES = {
    "fastai": """
        before_fit=begin_fit before_epoch=begin_epoch before_train=begin_train
        before_batch=begin_batch before_backward=begin_backward before_step=begin_step
        before_validate=begin_validate""",
    "Keras": """
        on_train_begin=begin_fit on_train_end=after_fit on_epoch_begin=begin_epoch
        on_epoch_end=after_epoch on_batch_begin=begin_batch on_batch_end=after_batch
        on_train_batch_begin=begin_batch on_train_batch_end=after_batch
        on_test_begin=begin_validate on_test_end=after_validate
        on_test_batch_begin=begin_batch on_test_batch_end=after_batch""",
    "Lightning": """
        on_fit_start=begin_fit on_fit_end=after_fit on_train_start=begin_fit
        on_train_epoch_start=begin_epoch on_train_epoch_end=after_epoch
        on_train_batch_start=begin_batch on_before_backward=begin_backward
        on_after_backward=after_backward on_before_optimizer_step=begin_step
        on_before_zero_grad=after_step on_exception=after_error
        on_validation_start=begin_validate on_validation_end=after_validate
        on_validation_epoch_start=begin_validate on_validation_epoch_end=after_validate
        on_validation_batch_start=begin_batch on_validation_batch_end=after_batch""",
    "the Hugging Face Trainer": """
        on_step_begin=begin_batch on_step_end=after_batch on_pre_optimizer_step=begin_step
        on_optimizer_step=after_step on_evaluate=after_validate""",
    "ignite": """
        started=begin_fit completed=after_fit epoch_started=begin_epoch
        epoch_completed=after_epoch iteration_started=begin_batch iteration_completed=after_batch
        exception_raised=after_error""",
    "Composer": """
        fit_start=begin_fit fit_end=after_fit epoch_start=begin_epoch epoch_end=after_epoch
        batch_start=begin_batch batch_end=after_batch before_forward=begin_batch
        after_forward=after_pred before_loss=after_pred eval_start=begin_validate
        eval_end=after_validate""",
}

_SIGNALS = {
    hook: (library, signal)
    for library, pairs in _OF_LIBRARIES.items()
    for hook, _, signal in (pair.partition("=") for pair in pairs.split())
}

_BEGINNING = "on_start_|start_|on_begin_|before_|pre_"
_END = "on_end_|end_|post_"
_SCOPE = "(fit|epoch|train|batch|backward|step|validate|loss|pred)"
_OTHER_FORMS = (
    (rf"(?:on_)?(?:{_BEGINNING}){_SCOPE}", "begin_"),
    (rf"(?:on_)?{_SCOPE}_(?:begin|start|started)", "begin_"),
    (rf"(?:on_)?(?:{_END}){_SCOPE}", "after_"),
    (rf"(?:on_)?{_SCOPE}_(?:end|ended|done|completed|finished)", "after_"),
)


def same_moment(name: str) -> str | None:
    """What to say of a method that is named like a hook of another library; None if it is not."""
    lower = name.lower()
    if lower in _SIGNALS:
        library, signal = _SIGNALS[lower]
        return f"{library} calls that {name}, and it is {signal} here"
    for form, moment in _OTHER_FORMS:
        if match := re.fullmatch(form, lower):
            return f"the signal of that moment is {moment}{match[1]}"
    return None
