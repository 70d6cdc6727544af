import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from nets import by_hand, normed, undisturbed, values
from pairs import CHART, pair, trainer_of_two
from reads import Reads
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trackside import Trainer
from trackside.events import CancelFitException
from trackside.handlers import GradientAccumulation, Metrics
from trackside.handlers.averaging.ema import EMA


def averaged_by_hand(net, decay, epochs=1, **options):
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), **options)
    by_hand(net, epochs=epochs, after_step=lambda: average.update_parameters(net))
    return average


def seen_in_validation(trainer, read=weights):
    """Record what `read(trainer)` returns at each validation batch."""
    seen = []
    trainer.on("after_pred", when=lambda t, s: not s.training)(
        lambda t, state: seen.append(read(t))
    )
    return seen


def plain_fit(**options):
    trainer = trainer_of(**options)
    trainer.fit(batches(), batches(2), epochs=2)
    return weights(trainer)


@pytest.mark.parametrize("use_buffers", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_average_equals_torch_bitwise(decay, use_buffers):
    ema = EMA(decay, use_buffers)
    trainer_of(ema, net=normed()).fit(batches(), epochs=3)
    ours = ema.averaged.state_dict()
    theirs = averaged_by_hand(normed(), decay, epochs=3, use_buffers=use_buffers).state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("use_buffers", [True, False])
def test_integer_buffer_is_copied(use_buffers):
    ema = EMA(0.9, use_buffers)
    trainer_of(ema, net=normed()).fit(batches(), epochs=3)
    assert ema.averaged.module[1].num_batches_tracked == 9


def test_averaged_model_is_callable_and_in_eval_mode():
    ema = EMA(0.5)
    trainer_of(ema, net=normed()).fit(batches())
    assert not any(module.training for module in ema.averaged.modules())
    assert ema.averaged(torch.zeros(1, 5)).shape == (1, 3)


def test_validation_uses_the_average_and_training_does_not():
    ema = EMA(0.9, final="trained")
    trainer = trainer_of(ema)
    seen = seen_in_validation(trainer)
    averages = []
    trainer.on("after_train")(lambda t, state: averages.append(values(ema.averaged.module)))
    trainer.fit(batches(), batches(1), epochs=2)
    assert len(seen) == 2
    assert all(equal(ours, theirs) for ours, theirs in zip(seen, averages, strict=True))
    assert equal(weights(trainer), plain_fit())


def test_validation_metrics_are_those_of_the_average():
    ema = EMA(0.9, final="trained")
    trainer = trainer_of(Metrics(), ema, net=normed())
    trainer.fit(batches(), batches(1), epochs=2)
    (x, y), *_ = batches(1)
    theirs = nn.functional.cross_entropy(ema.averaged(x), y).item()
    assert trainer.state.metrics["valid_loss"] == pytest.approx(theirs)


def test_validate_false_validates_the_trained_weights():
    trainer = trainer_of(EMA(0.9, validate=False))
    seen = seen_in_validation(trainer)
    trained = []
    trainer.on("after_train")(lambda t, state: trained.append(weights(t)))
    trainer.fit(batches(), batches(1))
    assert equal(seen[0], trained[0])


def test_validation_within_an_epoch_uses_the_current_average():
    ema = EMA(0.9, final="trained")
    trainer = trainer_of(ema)
    trainer.on("after_step", when=lambda t, s: s.step == 2)(
        lambda t, state: setattr(state, "validate_next", True)
    )
    averages, seen = [], seen_in_validation(trainer)
    trainer.on("after_train")(lambda t, state: averages.append(values(ema.averaged.module)))
    trainer.fit(batches(), batches(1))
    assert len(seen) == 2
    assert all(equal(ours, theirs) for ours, theirs in zip(seen, averages, strict=True))
    plain = trainer_of()
    plain.fit(batches())
    assert equal(weights(trainer), weights(plain))


@pytest.mark.parametrize("use_buffers", [True, False])
def test_trained_buffers_are_restored(use_buffers):
    trainer = trainer_of(EMA(0.9, use_buffers, final="trained"), net=normed())
    trainer.fit(batches(), batches(1), epochs=2)
    assert equal(values(trainer.state.model), values(by_hand(normed(), epochs=2)))


def test_model_tensors_are_changed_in_place():
    net = normed()
    before = [tensor.data_ptr() for tensor in net.state_dict().values()]
    trainer_of(EMA(0.9), net=net).fit(batches(), batches(1), epochs=2)
    assert [tensor.data_ptr() for tensor in net.state_dict().values()] == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("signal", ["begin_validate", "after_pred", "after_validate"])
def test_error_in_validation_restores_the_trained_weights(signal, error):
    trainer = trainer_of(EMA(0.9))
    trained = []
    trainer.on("after_train")(lambda t, state: trained.append(weights(t)))

    @trainer.on(signal, when=lambda t, s: not s.training)
    def fail(trainer, state):
        raise error

    with pytest.raises(error):
        trainer.fit(batches(), batches(1))
    assert equal(weights(trainer), trained[0])


def test_detach_during_validation_restores_the_trained_weights():
    ema = EMA(0.9)
    trainer = trainer_of(ema)
    trainer.on("begin_batch", when=lambda t, s: not s.training, once=True)(
        lambda t, state: t.detach(ema)
    )
    trainer.fit(batches(), batches(2), epochs=2)
    assert equal(weights(trainer), plain_fit())


def test_model_has_the_average_after_the_fit():
    ema = EMA(0.9)
    trainer = trainer_of(ema, net=normed())
    trainer.fit(batches(), epochs=2)
    assert equal(values(trainer.state.model), values(ema.averaged.module))


def test_other_handlers_see_the_average_at_after_fit():
    ema = EMA(0.9)
    trainer, recorded = trainer_of(ema), []
    trainer.on("after_fit")(lambda t, state: recorded.append(weights(t)))
    trainer.fit(batches())
    assert equal(recorded[0], values(ema.averaged.module))


def test_cancelled_fit_keeps_the_average():
    ema = EMA(0.9)
    trainer = trainer_of(ema)
    trainer.on("begin_batch", when=lambda t, s: s.epoch == 1)(raise_cancel)
    trainer.fit(batches(), batches(1), epochs=3)
    assert trainer.state.outcome == "cancelled"
    assert equal(weights(trainer), values(ema.averaged.module))


def raise_cancel(trainer, state):
    raise CancelFitException


def test_failed_fit_keeps_the_trained_weights():
    trainer = trainer_of(EMA(0.9))

    @trainer.on("after_epoch")
    def fail(trainer, state):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        trainer.fit(batches())
    assert equal(weights(trainer), values(by_hand(model())))


def test_average_continues_in_the_next_fit_but_not_in_validate():
    ema = EMA(0.9, final="trained")
    trainer = trainer_of(ema)
    trainer.fit(batches())
    seen = seen_in_validation(trainer)
    trainer.validate(batches(1))
    trainer.predict(batches(1))
    assert equal(seen[0], weights(trainer))
    assert equal(seen[1], weights(trainer))
    trainer.fit(batches())
    assert ema.updates == 6
    assert equal(values(ema.averaged.module), values(averaged_by_hand(model(), 0.9, 2).module))


def test_fit_without_update_does_not_change_the_model():
    trainer = trainer_of(EMA(0.9))
    trainer.fit(batches())
    other = model(seed=1)
    trainer.state.model.load_state_dict(other.state_dict())
    raise_at(trainer, "begin_epoch", CancelFitException)
    trainer.fit(batches(), batches(1))
    assert equal(weights(trainer), values(other))


def test_cancelled_step_is_not_averaged():
    ema = EMA(0.9)
    trainer_of(GradientAccumulation(2), ema).fit(batches(5))
    assert ema.updates == 3


def test_attach_during_fit_starts_averaging_there():
    ema = EMA(0.9, final="trained")
    trainer = trainer_of()
    trainer.on("after_train", once=True)(lambda t, state: t.attach(ema))
    trainer.fit(batches(), epochs=2)
    assert ema.updates == 3
    own = EMA(0.9)
    again = trainer_of(net=by_hand(model()))
    again.attach(own)
    again.fit(batches())
    assert equal(values(ema.averaged.module), values(own.averaged.module))


def test_compiled_model_is_averaged_without_its_wrapper():
    ema = EMA(0.9)
    trainer = trainer_of(ema, net=torch.compile(normed(), backend="eager"))
    trainer.fit(batches(), batches(1))
    assert ema.averaged.module.state_dict().keys() == normed().state_dict().keys()
    theirs = averaged_by_hand(normed(), 0.9, use_buffers=True).module
    assert equal(weights(trainer), list(theirs.parameters()))


def test_works_on_a_hand_made_state():
    ema, state = EMA(0.5), state_of()
    ema.after_step(None, state)
    before = values(state.model)
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.add_(1)
    ema.after_step(None, state)
    assert torch.allclose(ema.averaged.module[0].weight, before[0] + 0.5)


def test_integer_parameters_are_copied():
    ema, state = EMA(0.5), state_of()
    state.model.packed = nn.Parameter(torch.tensor([1, 2]), requires_grad=False)
    ema.after_step(None, state)
    state.model.packed.data = torch.tensor([5, 6])
    ema.after_step(None, state)
    assert ema.averaged.module.packed.tolist() == [5, 6]


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range_raises(decay):
    with pytest.raises(ValueError, match=r"EMA\(decay=.*allowed: a number from 0, below 1"):
        EMA(decay)


def test_other_final_value_raises():
    with pytest.raises(ValueError, match=r"EMA\(final='best'\): allowed: 'averaged', 'trained'"):
        EMA(final="best")


def test_no_device_sync():
    ema = EMA(0.9)
    trainer = trainer_of(ema, net=normed().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert ema.updates == 6


def test_fit_reads_no_tensor_value():
    trainer = trainer_of(EMA(0.9))
    with Reads() as reads:
        trainer.fit(batches(), batches(2), epochs=2)
    assert reads.count == 0


def test_global_generator_is_not_used():
    trainer = trainer_of(EMA(0.9))
    before = torch.get_rng_state()
    trainer.fit(batches(), batches(1))
    assert torch.equal(torch.get_rng_state(), before)


@every_cancel
@early_or_late
def test_any_cancel_trains_as_without_the_handler(signal, scope, early):
    ema = EMA(0.9, final="trained")
    trainer = cancelled_fit(ema, signal, scope, early)
    assert equal(weights(trainer), undisturbed(signal, scope))
    assert ema.updates == trainer.state.step


@pytest.mark.parametrize("of", ["a", "b"])
def test_of_one_model_only_that_one_is_validated_with_its_average(of):
    ema = EMA(0.5, of=of)
    trainer = trainer_of_two(ema)
    seen = []

    @trainer.on("begin_validate")
    def look(trainer, state):
        averaged = [p.detach() for p in ema.averaged.module.parameters()]
        models = state.models.items()
        seen.extend(name for name, net in models if equal([*net.parameters()], averaged))

    trainer.fit(batches(3), batches(1))
    assert seen == [of]
    assert ema.updates == 3


def test_a_model_without_an_optimizer_of_its_own_is_averaged_after_every_step():
    models = pair()
    optimizer = torch.optim.SGD([p for net in models.values() for p in net.parameters()], lr=0.1)
    ema = EMA(0.5, of="b")
    trainer = Trainer(None, nn.CrossEntropyLoss(), optimizer, [ema], models=models)
    trainer.fit(batches(3))
    assert ema.updates == 3
    assert equal([*models["b"].parameters()], [*pair()["b"].parameters()])


def test_one_model_is_averaged_after_the_steps_of_the_named_optimizer():
    net = model()
    body, head = net[0], net[2]
    optimizers = {"a": torch.optim.SGD(body.parameters()), "b": torch.optim.SGD(head.parameters())}
    ema, every = EMA(0.5, of="a"), EMA(0.5)
    handlers = [ema, every]
    options = {"optimizers": optimizers, "handlers": handlers, "chart": CHART}
    Trainer(net, nn.CrossEntropyLoss(), **options).fit(batches(3))
    assert (ema.updates, every.updates) == (3, 6)


def test_the_sharding_of_the_model_is_looked_at_once_a_fit(monkeypatch):
    looked = []
    monkeypatch.setattr(EMA.__module__ + ".follow_sharding", lambda *both: looked.append(both))
    ema = EMA()
    trainer = trainer_of(ema)
    trainer.fit(batches(), epochs=2)
    assert len(looked) == 1
    trainer.fit(batches())
    assert len(looked) == 2
