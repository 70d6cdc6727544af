import self_supervised
import torch
from helpers import equal

from trackside.views.verify.verify_resume import verify_resume


def parameters(net):
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_a_linear_probe_is_better_than_at_the_start():
    todo = self_supervised.job()
    state = todo.trainer.state
    with torch.no_grad():
        self_supervised.probe(state)
    at_start = state.metrics["probe_accuracy"]
    todo.trainer.fit(todo.train_loader, epochs=todo.epochs)
    assert state.metrics["probe_accuracy"] > at_start + 0.03


def test_the_teacher_is_the_average_of_the_students_bit_for_bit():
    todo = self_supervised.job()
    mean = parameters(todo.trainer.state.models["teacher"])

    @todo.trainer.on("after_student")
    def average(trainer, state):
        for ours, student in zip(mean, parameters(state.models["student"]), strict=True):
            ours.lerp_(student, 1 - self_supervised.DECAY)

    state = todo.trainer.fit(todo.train_loader, epochs=2)
    assert equal(parameters(state.models["teacher"]), mean)
    assert not equal(parameters(state.models["student"]), mean)


def test_the_probe_has_no_gradients_and_training_goes_on_in_train_mode():
    todo = self_supervised.job()
    seen = []

    def with_grad_mode(probe):
        return lambda state: seen.append(torch.is_grad_enabled()) or probe(state)

    for signal in ("begin_batch", "after_probe"):
        todo.trainer.on(signal)(
            lambda trainer, state: seen.append(state.models["student"].training)
        )
    todo.trainer.wrap(
        "probe", lambda probe: lambda s: seen.append(torch.is_grad_enabled()) or probe(s)
    )
    todo.trainer.fit(todo.train_loader, epochs=2, batches_per_epoch=1)
    assert seen == [True, False, False] * 2


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(self_supervised.job, epochs=1, batches=2)
    assert verification.differences == ()
