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


class Sender(Publisher):
    """A publisher without an engine: the tests call the receivers."""

    def __init__(self):
        super().__init__()
        self.wraps = []

    @property
    def signals(self):
        return SIGNALS

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
def sender():
    return Sender()


def test_a_sender_of_its_own_is_the_main_one_of_all_processes(sender):
    recorder = Recorder()
    recorder.main_only = True
    sender.attach(recorder)
    sender.send("begin_batch")
    assert recorder.log == ["begin_batch"]


def test_a_method_named_like_a_signal_is_subscribed(sender):
    recorder = Recorder()
    sender.attach(recorder)
    for name in ("begin_batch", "after_loss", "after_batch"):
        sender.send(name)
    assert recorder.log == ["begin_batch", "after_batch"]


def test_attach_returns_a_function_that_undoes_it(sender):
    recorder = Recorder()
    detach = sender.attach(recorder)
    detach()
    detach()
    sender.send("begin_batch")
    assert recorder.log == []
    assert sender.handlers == []


def test_attach_is_a_context_manager(sender):
    recorder = Recorder()
    with sender.attach(recorder):
        sender.send("begin_batch")
    sender.send("after_batch")
    assert recorder.log == ["begin_batch"]


def test_a_detached_handler_can_be_attached_again(sender):
    recorder = Recorder()
    sender.attach(recorder)
    sender.detach(recorder)
    sender.attach(recorder)
    sender.send("begin_batch")
    assert recorder.log == ["begin_batch"]


def test_attaching_the_same_handler_twice_is_an_error(sender):
    recorder = Recorder()
    sender.attach(recorder)
    with pytest.raises(AttachError, match="Recorder is already attached"):
        sender.attach(recorder)
    sender.send("begin_batch")
    assert recorder.log == ["begin_batch"]


def test_detaching_a_handler_that_is_not_attached_is_an_error(sender):
    with pytest.raises(AttachError, match="Recorder is not attached"):
        sender.detach(Recorder())


def test_a_class_instead_of_an_instance_is_refused(sender):
    with pytest.raises(AttachError, match=r"class Recorder: .* instance: Recorder\(\)"):
        sender.attach(Recorder)


def test_attach_refuses_a_function_and_suggests_on(sender):
    def log_loss(trainer, state):
        pass

    with pytest.raises(AttachError, match=r'trainer\.on\("after_loss"\)\(log_loss\)'):
        sender.attach(log_loss)


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
def test_a_misspelt_method_is_refused_with_a_suggestion(sender, method, meant):
    handler = type("Misspelt", (), {method: lambda self, trainer, state: None})()
    with pytest.raises(AttachError, match=rf"Misspelt\.{method}.*did you mean {meant}\?"):
        sender.attach(handler)


def test_a_method_with_an_underscore_is_not_subscribed(sender):
    class Handler(Recorder):
        def _after_epochs(self):
            pass

    sender.attach(Handler())


def test_a_handler_may_have_slots_that_are_not_set(sender):
    class Slotted:
        __slots__ = ("later",)

        def begin_batch(self, trainer, state):
            self.later = "set"

    handler = Slotted()
    sender.attach(handler)
    sender.send("begin_batch")
    assert handler.later == "set"


def test_a_handler_that_receives_no_signal_is_refused(sender):
    with pytest.raises(AttachError, match="Unsubscribed receives no signal"):
        sender.attach(type("Unsubscribed", (), {})())


def test_a_wrong_signature_is_refused_and_nothing_stays_connected(sender):
    class Half:
        def begin_batch(self, trainer, state):
            pass

        def after_batch(self, state):
            pass

    with pytest.raises(ReceiverError, match=r"Half\.after_batch"):
        sender.attach(Half())
    assert not list(SIGNALS["begin_batch"].receivers_for(sender))
    assert sender.handlers == []


def test_a_handler_whose_order_has_a_cycle_is_not_attached(sender):
    one = type("One", (Recorder,), {"runs_after": "Two"})()
    two = type("Two", (Recorder,), {"runs_after": "One"})()
    sender.attach(one)
    with pytest.raises(OrderError, match="One"):
        sender.attach(two)
    assert sender.handlers == [one]
    assert len(list(SIGNALS["after_batch"].receivers_for(sender))) == 1


def test_never_cancels_that_is_no_bool_is_refused(sender):
    handler = type("Handler", (Recorder,), {"never_cancels": "always"})()
    with pytest.raises(TypeError, match=r"Handler\.never_cancels is 'always'; allowed: a bool"):
        sender.attach(handler)


def test_an_unknown_error_policy_is_refused(sender):
    handler = type("Handler", (Recorder,), {"on_error": "ignore"})()
    with pytest.raises(ValueError, match=r"Handler\.on_error is 'ignore'; allowed: raise, detach"):
        sender.attach(handler)


def test_wraps_are_undone_when_their_handler_is_detached(sender):
    class Precise:
        def wrap_forward(self, forward):
            return forward

    with sender.attach(Precise()):
        assert [name for name, _ in sender.wraps] == ["forward"]
    assert sender.wraps == []


def test_attached_and_detached_of_a_handler_are_called(sender):
    class Attached(Recorder):
        def attached(self, trainer):
            self.log.append(("attached", trainer))

        def detached(self, trainer):
            self.log.append(("detached", trainer))

    handler = Attached()
    sender.attach(handler)()
    assert handler.log == [("attached", sender), ("detached", sender)]


def test_on_subscribes_a_function_and_returns_it(sender):
    log = []

    @sender.on("after_loss")
    def receive(trainer, state):
        log.append(trainer)

    sender.send("after_loss")
    sender.detach(receive)
    sender.send("after_loss")
    assert log == [sender]


def test_on_refuses_an_unknown_signal_with_a_suggestion(sender):
    with pytest.raises(AttachError, match=r"sends no after_los; did you mean after_loss\?"):
        sender.on("after_los")


def test_every_calls_a_function_at_each_nth_send(sender):
    log = []
    sender.on("after_loss", every=3)(lambda trainer, state: log.append(sends))
    for sends in range(1, 8):  # noqa: B007  # the receiver reads it
        sender.send("after_loss")
    assert log == [3, 6]


def test_once_calls_a_function_once_and_detaches_it(sender):
    log = []
    sender.on("after_loss", once=True)(lambda trainer, state: log.append(1))
    sender.send("after_loss")
    sender.send("after_loss")
    assert log == [1]
    assert not list(SIGNALS["after_loss"].receivers_for(sender))
    assert sender.handlers == []


def test_once_calls_once_if_another_thread_sends_during_subscription(monkeypatch, sender):
    log = []
    thread = threading.Thread(target=sender.send, args=("after_loss",))
    attachment_of = sender._attachment_of

    def send_meanwhile(function):
        thread.start()
        thread.join(0.2)  # seconds: enough, unless it waits for the lock of `on`
        return attachment_of(function)

    monkeypatch.setattr(sender, "_attachment_of", send_meanwhile)
    sender.on("after_loss", once=True)(lambda trainer, state: log.append(1))
    thread.join()
    sender.send("after_loss")
    assert log == [1]
    assert sender.handlers == []


def test_once_and_every_together_call_at_the_nth_send_only(sender):
    log = []
    sender.on("after_loss", every=2, once=True)(lambda trainer, state: log.append(sends))
    for sends in range(1, 7):  # noqa: B007
        sender.send("after_loss")
    assert log == [2]


def test_when_decides_which_sends_are_counted(sender):
    log = []
    counts = iter([True, False, True, True, True])
    sender.on("after_loss", every=2, when=lambda trainer, state: next(counts))(
        lambda trainer, state: log.append(sends)
    )
    for sends in range(1, 6):  # noqa: B007
        sender.send("after_loss")
    assert log == [3, 5]


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (1.5, TypeError), (False, TypeError)]
)
def test_every_must_be_an_int_from_one(sender, every, error):
    with pytest.raises(error, match="allowed: an int, from 1"):
        sender.on("after_loss", every=every)(lambda trainer, state: None)


def test_detach_disconnects_a_function_from_all_its_signals(sender):
    log = []

    def receive(trainer, state):
        log.append(1)

    sender.on("begin_batch")(receive)
    sender.on("after_batch")(receive)
    sender.send("begin_batch")
    sender.send("after_batch")
    sender.detach(receive)
    sender.send("begin_batch")
    assert log == [1, 1]


def test_a_scope_handler_opens_and_closes_last_in_first_out(sender):
    log = []

    def scope(name):
        def handler(trainer, state):
            log.append(f"open {name}")
            yield
            log.append(f"close {name}")

        return handler

    sender.within("batch")(scope("a"))
    sender.within("batch")(scope("b"))
    sender.on("after_batch")(lambda trainer, state: log.append("after_batch"))
    sender.send("begin_batch")
    sender.send("after_batch")
    assert log == ["open a", "open b", "after_batch", "close b", "close a"]


def test_a_scope_that_was_opened_before_attach_is_not_closed(sender):
    log = []

    @sender.within("batch")
    def handler(trainer, state):
        log.append("open")
        yield
        log.append("close")

    sender.send("after_batch")
    assert log == []


def test_a_scope_handler_detached_inside_its_scope_is_closed(sender):
    log = []

    @sender.within("batch")
    def handler(trainer, state):
        try:
            yield
        finally:
            log.append("closed")

    sender.send("begin_batch")
    sender.detach(handler)
    sender.send("after_batch")
    assert log == ["closed"]


def test_a_scope_handler_detached_while_its_scope_opens_does_not_open(sender):
    log = []

    class Scoped:
        def within_batch(self, trainer, state):
            log.append("open")
            yield
            log.append("close")

    scoped = Scoped()
    sender.on("begin_batch", once=True)(lambda trainer, state: trainer.detach(scoped))
    sender.attach(scoped)
    sender.send("begin_batch")
    sender.send("after_batch")
    assert log == []


def test_a_scope_handler_that_yields_twice_is_an_error(sender):
    @sender.within("batch")
    def twice(trainer, state):
        yield
        yield

    sender.send("begin_batch")
    with pytest.raises(RuntimeError, match="twice yielded twice"):
        sender.send("after_batch")


def test_within_refuses_an_unknown_scope_with_a_suggestion(sender):
    with pytest.raises(AttachError, match=r"no scope 'epochs'; did you mean epoch\?"):
        sender.within("epochs")


def test_within_methods_of_a_handler_are_scope_handlers(sender):
    log = []

    class Handler:
        def within_batch(self, trainer, state):
            log.append("open")
            yield
            log.append("close")

    with sender.attach(Handler()):
        sender.send("begin_batch")
        sender.send("after_batch")
    assert log == ["open", "close"]


def test_first_error_with_on_error_detach_is_logged_and_detaches(sender, caplog):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise OSError("disk full")

    with caplog.at_level(logging.ERROR, "trackside"):
        sender.attach(Logger())
        sender.send("begin_batch")
    assert sender.handlers == []
    assert not list(SIGNALS["after_batch"].receivers_for(sender))
    assert "Logger.begin_batch failed" in caplog.text
    assert "disk full" in caplog.text


def test_a_handler_with_on_error_detach_can_still_cancel(sender):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise CancelFitException("enough")

    sender.attach(Logger())
    with pytest.raises(CancelFitException):
        sender.send("begin_batch")


def test_explain_lists_receivers_in_order_with_reasons(sender):
    class Clip(Recorder):
        pass

    class Unscale(Recorder):
        runs_before = ("Clip",)

    def watch(trainer, state, transition):
        pass

    sender.attach(Clip())
    sender.attach(Unscale())
    sender.on("any_transition")(watch)
    assert sender.explain("after_batch") == (
        "after_batch: 3 to run\n"
        "  1. watch: order of connection\n"
        "  2. Unscale.after_batch: order of connection\n"
        "  3. Clip.after_batch: Unscale.after_batch declares that it runs before it"
    )
    assert repr(sender.explain("after_loss")).startswith("after_loss: 1 to run")
    assert any_transition.receivers


def test_an_error_while_a_handler_is_detached_is_logged_too(sender, caplog):
    class Logger(Recorder):
        on_error = "detach"

        def begin_batch(self, trainer, state):
            raise OSError("disk full")

        def detached(self, trainer):
            raise OSError("still full")

    with caplog.at_level(logging.ERROR, "trackside"):
        sender.attach(Logger())
        sender.send("begin_batch")
    assert sender.handlers == []
    assert "still full" in caplog.text


def test_explain_returns_what_a_handler_says_about_its_own_topic(sender):
    class Tells:
        def after_fit(self, trainer, state):
            pass

        def explain_tides(self):
            return "tides: high"

    with pytest.raises(AttachError, match="tides"):
        sender.explain("tides")
    sender.attach(Tells())
    assert repr(sender.explain("tides")) == "tides: high"
