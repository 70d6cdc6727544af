import logging
import threading

import pytest

from trackside.events import (
    SIGNALS,
    AttachError,
    CancelFitException,
    OrderError,
    Publisher,
    ReceiverError,
    TrainState,
    any_transition,
)


class Desk(Publisher):
    """A publisher with no engine behind it: the tests send by hand."""

    def __init__(self):
        super().__init__()
        self.wraps = []

    @property
    def activities(self):
        return ["forward", "loss"]

    def wrap(self, name, wrapper):
        entry = (name, wrapper)
        self.wraps.append(entry)
        return lambda: self.wraps.remove(entry)

    def send(self, name):
        state = TrainState(model=None)
        for receiver in tuple(SIGNALS[name].receivers_for(self)):
            receiver(self, state=state)


class Recorder:
    def __init__(self):
        self.log = []

    def begin_batch(self, trainer, state):
        self.log.append("begin_batch")

    def after_batch(self, trainer, state):
        self.log.append("after_batch")


@pytest.fixture
def desk():
    return Desk()


def test_every_method_named_like_a_signal_hears_it(desk):
    recorder = Recorder()
    desk.attach(recorder)
    for name in ("begin_batch", "after_loss", "after_batch"):
        desk.send(name)
    assert recorder.log == ["begin_batch", "after_batch"]


def test_attach_gives_back_its_undo(desk):
    recorder = Recorder()
    detach = desk.attach(recorder)
    detach()
    detach()
    desk.send("begin_batch")
    assert recorder.log == []
    assert desk.handlers == []


def test_attach_is_a_context_manager(desk):
    recorder = Recorder()
    with desk.attach(recorder):
        desk.send("begin_batch")
    desk.send("after_batch")
    assert recorder.log == ["begin_batch"]


def test_a_handler_is_detached_by_name_too_and_can_come_back(desk):
    recorder = Recorder()
    desk.attach(recorder)
    desk.detach(recorder)
    desk.attach(recorder)
    desk.send("begin_batch")
    assert recorder.log == ["begin_batch"]


def test_attaching_the_same_handler_twice_is_an_error(desk):
    recorder = Recorder()
    desk.attach(recorder)
    with pytest.raises(AttachError, match="Recorder is already attached"):
        desk.attach(recorder)
    desk.send("begin_batch")
    assert recorder.log == ["begin_batch"]


def test_detaching_what_is_not_attached_is_an_error(desk):
    with pytest.raises(AttachError, match="Recorder is not attached"):
        desk.detach(Recorder())


def test_a_class_instead_of_an_instance_is_refused(desk):
    with pytest.raises(AttachError, match=r"the class Recorder; attach an instance: Recorder\(\)"):
        desk.attach(Recorder)


def test_a_function_is_sent_to_on(desk):
    def log_loss(trainer, state):
        pass

    with pytest.raises(AttachError, match=r'trainer\.on\("after_loss"\)\(log_loss\)'):
        desk.attach(log_loss)


@pytest.mark.parametrize(
    ("method", "meant"),
    [
        ("after_epochs", "after_epoch"),
        ("on_after_epoch", "after_epoch"),
        ("after_los", "after_loss"),
        ("begin_validation", "begin_validate"),
        ("wrap_foward", "forward"),
        ("within_bach", "batch"),
    ],
)
def test_a_misspelt_method_is_refused_and_the_nearest_named(desk, method, meant):
    handler = type("Misspelt", (), {method: lambda self, trainer, state: None})()
    with pytest.raises(AttachError, match=rf"Misspelt\.{method}.*did you mean {meant}\?"):
        desk.attach(handler)


def test_a_helper_method_with_an_underscore_is_no_subscription(desk):
    class Handler(Recorder):
        def _after_epochs(self):
            pass

    desk.attach(Handler())


def test_a_handler_that_hears_nothing_is_refused(desk):
    with pytest.raises(AttachError, match="Deaf receives no signal"):
        desk.attach(type("Deaf", (), {})())


def test_a_method_with_the_wrong_signature_is_refused_and_nothing_is_left(desk):
    class Half:
        def begin_batch(self, trainer, state):
            pass

        def after_batch(self, state):
            pass

    with pytest.raises(ReceiverError, match=r"Half\.after_batch"):
        desk.attach(Half())
    assert not list(SIGNALS["begin_batch"].receivers_for(desk))
    assert desk.handlers == []


def test_a_handler_whose_order_closes_a_circle_is_not_attached(desk):
    one = type("One", (Recorder,), {"runs_after": "Two"})()
    two = type("Two", (Recorder,), {"runs_after": "One"})()
    desk.attach(one)
    with pytest.raises(OrderError, match="One"):
        desk.attach(two)
    assert desk.handlers == [one]
    assert len(list(SIGNALS["after_batch"].receivers_for(desk))) == 1


def test_an_unknown_error_policy_is_refused(desk):
    handler = type("Handler", (Recorder,), {"on_error": "ignore"})()
    with pytest.raises(ValueError, match=r"Handler\.on_error is 'ignore'; allowed: raise, detach"):
        desk.attach(handler)


def test_wraps_come_and_go_with_their_handler(desk):
    class Precise:
        def wrap_forward(self, forward):
            return forward

    with desk.attach(Precise()):
        assert [name for name, _ in desk.wraps] == ["forward"]
    assert desk.wraps == []


def test_a_handler_is_told_that_it_is_attached_and_detached(desk):
    class Told(Recorder):
        def attached(self, trainer):
            self.log.append(("attached", trainer))

        def detached(self, trainer):
            self.log.append(("detached", trainer))

    told = Told()
    desk.attach(told)()
    assert told.log == [("attached", desk), ("detached", desk)]


def test_on_subscribes_a_function_and_gives_it_back(desk):
    log = []

    @desk.on("after_loss")
    def hear(trainer, state):
        log.append(trainer)

    desk.send("after_loss")
    desk.detach(hear)
    desk.send("after_loss")
    assert log == [desk]


def test_on_refuses_a_signal_that_does_not_exist(desk):
    with pytest.raises(AttachError, match=r"no signal 'after_los'; did you mean after_loss\?"):
        desk.on("after_los")


def test_every_picks_each_nth_send(desk):
    log = []
    desk.on("after_loss", every=3)(lambda trainer, state: log.append(sends))
    for sends in range(1, 8):  # noqa: B007  # the receiver reads it
        desk.send("after_loss")
    assert log == [3, 6]


def test_once_hears_one_send_and_is_gone(desk):
    log = []
    desk.on("after_loss", once=True)(lambda trainer, state: log.append(1))
    desk.send("after_loss")
    desk.send("after_loss")
    assert log == [1]
    assert not list(SIGNALS["after_loss"].receivers_for(desk))
    assert desk.handlers == []


def test_once_hears_one_send_though_another_thread_sends_while_it_is_subscribed(monkeypatch, desk):
    log = []
    sender = threading.Thread(target=desk.send, args=("after_loss",))
    attachment_of = desk._attachment_of

    def send_meanwhile(function):
        sender.start()
        sender.join(0.2)  # seconds: it is through by then, unless it waits for the subscriber
        return attachment_of(function)

    monkeypatch.setattr(desk, "_attachment_of", send_meanwhile)
    desk.on("after_loss", once=True)(lambda trainer, state: log.append(1))
    sender.join()
    desk.send("after_loss")
    assert log == [1]
    assert desk.handlers == []


def test_once_and_every_together_hear_the_nth_send_alone(desk):
    log = []
    desk.on("after_loss", every=2, once=True)(lambda trainer, state: log.append(sends))
    for sends in range(1, 7):  # noqa: B007
        desk.send("after_loss")
    assert log == [2]


def test_when_picks_the_sends_that_count(desk):
    log = []
    wanted = iter([True, False, True, True, True])
    desk.on("after_loss", every=2, when=lambda trainer, state: next(wanted))(
        lambda trainer, state: log.append(sends)
    )
    for sends in range(1, 6):  # noqa: B007
        desk.send("after_loss")
    assert log == [3, 5]


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (1.5, TypeError), (False, TypeError)]
)
def test_a_cadence_that_picks_nothing_is_refused(desk, every, error):
    with pytest.raises(error, match="allowed: an int, from 1"):
        desk.on("after_loss", every=every)(lambda trainer, state: None)


def test_one_function_can_hear_several_signals_and_leaves_them_together(desk):
    log = []

    def hear(trainer, state):
        log.append(1)

    desk.on("begin_batch")(hear)
    desk.on("after_batch")(hear)
    desk.send("begin_batch")
    desk.send("after_batch")
    desk.detach(hear)
    desk.send("begin_batch")
    assert log == [1, 1]


def test_a_scope_handler_opens_and_closes_last_in_first_out(desk):
    log = []

    def scope(name):
        def handler(trainer, state):
            log.append(f"open {name}")
            yield
            log.append(f"close {name}")

        return handler

    desk.within("batch")(scope("a"))
    desk.within("batch")(scope("b"))
    desk.on("after_batch")(lambda trainer, state: log.append("after_batch"))
    desk.send("begin_batch")
    desk.send("after_batch")
    assert log == ["open a", "open b", "after_batch", "close b", "close a"]


def test_a_scope_that_was_never_seen_open_is_left_alone(desk):
    log = []

    @desk.within("batch")
    def handler(trainer, state):
        log.append("open")
        yield
        log.append("close")

    desk.send("after_batch")
    assert log == []


def test_a_scope_handler_detached_inside_its_scope_is_closed(desk):
    log = []

    @desk.within("batch")
    def handler(trainer, state):
        try:
            yield
        finally:
            log.append("closed")

    desk.send("begin_batch")
    desk.detach(handler)
    desk.send("after_batch")
    assert log == ["closed"]


def test_a_scope_handler_detached_while_its_scope_opens_does_not_open(desk):
    log = []

    class Scoped:
        def within_batch(self, trainer, state):
            log.append("open")
            yield
            log.append("close")

    scoped = Scoped()
    desk.on("begin_batch", once=True)(lambda trainer, state: trainer.detach(scoped))
    desk.attach(scoped)
    desk.send("begin_batch")
    desk.send("after_batch")
    assert log == []


def test_a_scope_handler_that_yields_twice_is_an_error(desk):
    @desk.within("batch")
    def twice(trainer, state):
        yield
        yield

    desk.send("begin_batch")
    with pytest.raises(RuntimeError, match="twice yielded twice"):
        desk.send("after_batch")


def test_a_scope_that_does_not_exist_is_refused(desk):
    with pytest.raises(AttachError, match=r"no scope 'epochs'; did you mean epoch\?"):
        desk.within("epochs")


def test_within_methods_of_a_handler_are_scope_handlers(desk):
    log = []

    class Handler:
        def within_batch(self, trainer, state):
            log.append("open")
            yield
            log.append("close")

    with desk.attach(Handler()):
        desk.send("begin_batch")
        desk.send("after_batch")
    assert log == ["open", "close"]


def test_the_first_error_of_a_detaching_handler_is_logged_and_takes_it_off(desk, caplog):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise OSError("disk full")

    with caplog.at_level(logging.ERROR, "trackside"):
        desk.attach(Logger())
        desk.send("begin_batch")
    assert desk.handlers == []
    assert not list(SIGNALS["after_batch"].receivers_for(desk))
    assert "Logger.begin_batch failed" in caplog.text
    assert "disk full" in caplog.text


def test_a_detaching_handler_can_still_cancel(desk):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise CancelFitException("enough")

    desk.attach(Logger())
    with pytest.raises(CancelFitException):
        desk.send("begin_batch")


def test_explain_says_who_runs_in_order_and_why(desk):
    class Clip(Recorder):
        pass

    class Unscale(Recorder):
        runs_before = ("Clip",)

    def watch(trainer, state, transition):
        pass

    desk.attach(Clip())
    desk.attach(Unscale())
    desk.on("any_transition")(watch)
    assert desk.explain("after_batch") == (
        "after_batch: 3 to run\n"
        "  1. watch: order of connection\n"
        "  2. Unscale.after_batch: order of connection\n"
        "  3. Clip.after_batch: Unscale.after_batch declares that it runs before it"
    )
    assert repr(desk.explain("after_loss")).startswith("after_loss: 1 to run")
    assert any_transition.receivers


def test_a_detaching_handler_that_fails_to_detach_does_not_end_the_run_either(desk, caplog):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise OSError("disk full")

        def detached(self, trainer):
            raise OSError("still full")

    with caplog.at_level(logging.ERROR, "trackside"):
        desk.attach(Logger())
        desk.send("begin_batch")
    assert desk.handlers == []
    assert "still full" in caplog.text
