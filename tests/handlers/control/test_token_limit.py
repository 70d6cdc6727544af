import pytest
from helpers import batches, model, trainer_of

from trackside.events import CancelBatchException
from trackside.handlers.control.token_limit import TokenLimit
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation

# a batch of `batches()` has 4 × 5 = 20 input elements


@pytest.mark.parametrize(("tokens", "made"), [(1, 1), (20, 1), (21, 2), (100, 5), (101, 6)])
def test_the_fit_ends_with_the_batch_that_reaches_the_number(tokens, made):
    trainer = trainer_of(TokenLimit(tokens))
    trainer.fit(batches(5), batches(1), epochs=3)
    assert (trainer.state.step, trainer.state.phase) == (made, "completed")
    assert trainer.state.tokens == 20 * made
    assert trainer.state.limits == {}


def test_a_function_may_count_the_tokens():
    trainer = trainer_of(TokenLimit(8, count=lambda state: len(state.yb)))
    trainer.fit(batches(5))
    assert (trainer.state.step, trainer.state.tokens) == (2, 8)


def test_accumulated_gradients_are_stepped_with_the_last_batch():
    trainer = trainer_of(TokenLimit(60), GradientAccumulation(2))
    trainer.fit(batches(5))
    assert (trainer.state.step, trainer.state.samples) == (2, 12)


def test_cancelled_batches_count():
    trainer = trainer_of(TokenLimit(60))

    @trainer.on("after_pred", once=True)
    def cancel(trainer, state):
        raise CancelBatchException

    trainer.fit(batches(5))
    assert (trainer.state.step, trainer.state.tokens) == (2, 60)


def test_each_fit_has_the_full_limit():
    trainer = trainer_of(TokenLimit(40))
    for _ in range(2):
        trainer.fit(batches(5))
        trainer.validate(batches(2))
        assert trainer.state.step == 2


def test_an_endless_loader_without_a_length_needs_no_number_of_epochs():
    def endless():
        while True:
            yield from batches(2)

    trainer = trainer_of(TokenLimit(100))
    trainer.fit(endless())
    assert trainer.state.step == 5


@pytest.mark.parametrize(
    ("arguments", "error"), [((0,), ValueError), ((1.0,), TypeError), ((1, 2), TypeError)]
)
def test_wrong_arguments_are_refused(arguments, error):
    with pytest.raises(error, match=r"TokenLimit\("):
        TokenLimit(*arguments)


def test_inputs_without_a_tensor_raise_and_name_count():
    trainer = trainer_of(TokenLimit(5))
    with pytest.raises(ValueError, match=r"tokens of a list.* pass count="):
        trainer.fit([(["one", "two"], None)])


def test_no_device_sync():
    trainer = trainer_of(TokenLimit(40), net=model().to("meta"), device="meta")
    trainer.fit(batches())
    assert trainer.state.step == 2
