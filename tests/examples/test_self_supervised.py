import self_supervised
import torch
from example_checks import code_lines
from helpers import equal
from self_supervised import DECAY, digits, networks, view
from torch.nn.functional import cosine_similarity, one_hot
from torch.utils.data import DataLoader, TensorDataset

from trackside.views.verify.verify_resume import verify_resume


def parameters(net):
    return [parameter.detach().clone() for parameter in net.parameters()]


def plain(epochs):
    torch.manual_seed(0)
    student, predictor, teacher = networks().values()
    optimizer = torch.optim.Adam([*student.parameters(), *predictor.parameters()], 0.002)
    loader = DataLoader(TensorDataset(digits()[0]), 128, shuffle=True)
    torch.manual_seed(1)
    for _ in range(epochs):
        for net in (student, predictor, teacher):
            net.train()
        for (images,) in loader:
            with torch.no_grad():
                target = teacher(view(images))
            predicted = predictor(student(view(images)))
            loss = 1 - cosine_similarity(predicted, target).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                for mean, weights in zip(teacher.parameters(), student.parameters(), strict=True):
                    mean.lerp_(weights, 1 - DECAY)
        student.eval()
        images, labels = digits()
        with torch.no_grad():
            features = student(images)
            weights = torch.linalg.lstsq(features[::2], one_hot(labels[::2]).float()).solution
            hits = (features[1::2] @ weights).argmax(1) == labels[1::2]
        print(hits.float().mean().item())
    return student, teacher


def test_it_equals_the_plain_loop_bit_for_bit():
    todo = self_supervised.job()
    torch.manual_seed(1)
    models = todo.trainer.fit(todo.train_loader, epochs=2).models
    for ours, theirs in zip((models["student"], models["teacher"]), plain(epochs=2), strict=True):
        assert equal(parameters(ours), parameters(theirs))


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    assert code_lines(self_supervised, "networks", "view", "digits") <= 1.5 * code_lines(plain)


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

    @todo.trainer.on("after_batch")
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
