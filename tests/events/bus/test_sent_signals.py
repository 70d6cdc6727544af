"""A trainer knows the signals and scopes of its chart, and refuses or skips all others."""

from functools import cached_property

import pytest
from helpers import batches, trainer_of

from trackside.engine import EVALUATION, SUPERVISED
from trackside.engine.statechart.optimizer_update import update
from trackside.events import AttachError, signal

GAN = SUPERVISED.replace("train.batch", update("generator"), update("critic"))
NO_EPOCH = SUPERVISED.without("epoch")


class PenaltyReceiver:
    def begin_penalty(self, trainer, state):
        pass


class EpochLogger:
    """Can log after a batch without logging after an epoch."""

    needs = ("after_batch",)

    def __init__(self):
        self.calls = []

    def after_batch(self, trainer, state):
        self.calls.append("after_batch")

    def after_epoch(self, trainer, state):
        self.calls.append("after_epoch")

    def within_epoch(self, trainer, state):
        self.calls.append("open")
        yield
        self.calls.append("close")


def test_a_trainer_knows_the_signals_of_its_chart_before_it_runs():
    names = {row[0] for chart in (GAN, EVALUATION) for row in chart}
    signals = trainer_of(chart=GAN).signals
    assert signals == {name: signal(name) for name in names}
    assert "begin_generator" in signals


def test_signals_include_those_of_validate_and_predict():
    assert "begin_validate" in trainer_of(chart=SUPERVISED.cut("validate")).signals


def test_a_trainer_knows_the_signals_of_rows_added_to_its_machine():
    trainer = trainer_of()
    trainer.machine.add_states("fit.epoch.warm")
    trainer.machine.add_transition("warm_up", "fit.epoch.ready", "fit.epoch.warm")
    trainer.on("warm_up")(lambda trainer, state: None)
    with pytest.raises(AttachError, match="sends no warm_up"):
        trainer_of().on("warm_up")


def test_a_handler_of_another_charts_signal_is_refused():
    signal("begin_penalty")  # as after a fit of a chart that sends it
    trainer = trainer_of()
    with pytest.raises(AttachError) as error:
        trainer.attach(PenaltyReceiver())
    text = str(error.value)
    assert text.startswith(
        "PenaltyReceiver.begin_penalty: this trainer's chart sends no begin_penalty; "
    )
    assert "; it sends begin_fit, begin_epoch," in text
    assert trainer.handlers == []


def test_a_refused_signal_suggests_a_signal_of_the_same_chart():
    trainer_of(chart=GAN)
    with pytest.raises(AttachError, match=r"no begin_generators; did you mean begin_generator\?"):
        trainer_of(chart=GAN).on("begin_generators")
    with pytest.raises(AttachError, match=r"no begin_generator; it sends"):
        trainer_of().on("begin_generator")


@pytest.mark.parametrize("subscribe", ["on", "explain"])
def test_on_and_explain_refuse_another_charts_signal(subscribe):
    signal("begin_penalty")
    with pytest.raises(AttachError, match=rf"trainer\.{subscribe}\('begin_penalty'\): this trai"):
        getattr(trainer_of(), subscribe)("begin_penalty")


def test_a_module_may_connect_to_any_signal():
    calls = []

    def receiver(trainer, state):
        calls.append(trainer)

    signal("begin_generator").connect(receiver)
    trainer = trainer_of(chart=GAN)
    trainer.fit(batches(1))
    signal("begin_generator").disconnect(receiver)
    assert calls == [trainer]


def test_within_takes_the_scopes_of_the_trainers_own_chart():
    calls = []

    def scope(trainer, state):
        calls.append("open")
        yield
        calls.append("close")

    trainer = trainer_of(chart=GAN)
    trainer.within("generator")(scope)
    trainer.fit(batches(2))
    assert calls == ["open", "close"] * 2
    with pytest.raises(AttachError, match=r"within\('generator'\): this trainer's chart has no s"):
        trainer_of().within("generator")


def test_a_handler_with_a_scope_of_another_chart_is_refused():
    class Scoped:
        def within_generator(self, trainer, state):
            yield

    trainer_of(chart=GAN).attach(Scoped())
    with pytest.raises(AttachError, match=r"Scoped\.within_generator: .* no scope 'generator'"):
        trainer_of().attach(Scoped())


def test_any_transition_and_resumed_are_signals_of_every_trainer():
    for name in ("any_transition", "resumed"):
        trainer = trainer_of()
        trainer.on(name)(lambda trainer, state, transition=None: None)
        assert trainer.explain(name).startswith(f"{name}: 1 to run")


def test_a_method_outside_needs_is_skipped_if_its_signal_is_not_sent():
    logger = EpochLogger()
    trainer_of(logger, chart=NO_EPOCH).fit(batches(2))
    assert logger.calls == ["after_batch", "after_batch"]


def test_a_method_outside_needs_is_called_if_its_signal_is_sent():
    logger = EpochLogger()
    trainer_of(logger).fit(batches(1))
    assert logger.calls == ["open", "after_batch", "after_epoch", "close"]


@pytest.mark.parametrize("method", ["after_epoch", "within_epoch"])
def test_a_method_in_needs_is_refused_if_its_signal_is_not_sent(method):
    class Needy(EpochLogger):
        needs = (method,)

    with pytest.raises(AttachError, match=rf"Needy\.{method}: this trainer's chart .* its? "):
        trainer_of(chart=NO_EPOCH).attach(Needy())


def test_without_needs_a_handler_needs_all_of_its_methods():
    class Plain:
        after_batch = EpochLogger.after_batch
        after_epoch = EpochLogger.after_epoch

    with pytest.raises(AttachError, match=r"Plain\.after_epoch: .* sends no after_epoch"):
        trainer_of(chart=NO_EPOCH).attach(Plain())


def test_the_message_of_a_missing_signal_names_the_role_of_its_scope():
    with pytest.raises(AttachError, match=": none of its scopes has the role round; it"):
        trainer_of(chart=NO_EPOCH).on("after_epoch")
    with pytest.raises(AttachError, match="'epoch': none of its scopes has the role round; its"):
        trainer_of(chart=NO_EPOCH).within("epoch")


def test_a_handler_is_refused_where_no_scope_has_a_role_in_its_needs():
    class Judge(EpochLogger):
        needs = ("evaluation",)

    trainer_of(Judge())
    with pytest.raises(AttachError, match=r"Judge needs a scope with the role evaluation, .*round"):
        trainer_of(Judge(), chart=SUPERVISED.cut("validate"))


def test_a_handler_that_only_names_roles_needs_all_of_its_methods():
    class Judge(EpochLogger):
        needs = "evaluation"

    with pytest.raises(AttachError, match=r"no after_epoch|no scope 'epoch'"):
        trainer_of(Judge(), chart=NO_EPOCH)


def test_a_cached_property_is_not_computed_when_its_handler_is_attached():
    class Lazy(EpochLogger):
        computed = 0

        @cached_property
        def expensive(self):
            self.computed += 1
            return len

    handler = Lazy()
    trainer_of(handler)
    assert handler.computed == 0


def test_needs_does_not_hide_a_misspelt_method():
    class Misspelt(EpochLogger):
        def after_batches(self, trainer, state):
            pass

    with pytest.raises(AttachError, match=r"after_batches; did you mean after_batch\?"):
        trainer_of().attach(Misspelt())


def test_needs_may_only_have_names_of_methods():
    class Misspelt(EpochLogger):
        needs = ("after_bach",)

    message = r"needs: 'after_bach' is not one of its methods, nor .*; did you mean after_batch\?"
    with pytest.raises(AttachError, match=message):
        trainer_of().attach(Misspelt())


def test_a_handler_of_which_all_methods_are_skipped_is_refused():
    class Optional:
        needs = ()
        after_epoch = EpochLogger.after_epoch

    with pytest.raises(AttachError, match="Optional receives no signal"):
        trainer_of(chart=NO_EPOCH).attach(Optional())


def test_signal_name_maps_standard_names_to_those_of_the_chart():
    trainer = trainer_of(chart=NO_EPOCH)
    trainer.signal_name = lambda name: name.replace("_epoch", "_train")
    logger = EpochLogger()
    trainer.attach(logger)
    trainer.on("after_epoch")(lambda trainer, state: logger.calls.append("on"))
    trainer.within("epoch")(logger.within_epoch)
    trainer.on("after_batch", inside="epoch")(lambda trainer, state: logger.calls.append("inside"))
    assert trainer.explain("after_epoch").startswith("after_train: 4 to run")
    trainer.fit(batches(1))
    assert logger.calls == [
        *("open", "open", "after_batch", "inside"),
        *("after_epoch", "on", "close", "close"),
    ]


def test_inside_calls_only_while_a_scope_of_that_name_is_open():
    phases = []
    trainer = trainer_of(chart=GAN)
    trainer.on("after_loss", inside="generator")(lambda trainer, state: phases.append(state.phase))
    trainer.fit(batches(2), batches(1))
    assert phases == ["fit.epoch.train.batch.generator.scored"] * 2


def test_inside_counts_together_with_every_when_and_once():
    calls = []

    def picked(name, **options):
        trainer.on("after_loss", inside="train", **options)(
            lambda trainer, state: calls.append((name, state.epoch, state.batch_index))
        )

    trainer = trainer_of()
    picked("every", every=2)
    picked("when", when=lambda trainer, state: state.batch_index == 1)
    picked("once", once=True)
    trainer.fit(batches(3), batches(3), epochs=1)
    assert calls == [("once", 0, 0), ("every", 0, 1), ("when", 0, 1)]


@pytest.mark.parametrize("scope", ["generator", "scored", "", 3])
def test_inside_refuses_a_scope_that_the_trainer_does_not_have(scope):
    with pytest.raises(AttachError, match=r"trainer\.on\('after_loss', inside=.* no scope"):
        trainer_of().on("after_loss", inside=scope)
