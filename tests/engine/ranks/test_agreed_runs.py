"""Several ranks act alike on what one of them has raised: as one process that has raised it."""

import io
import threading
from types import SimpleNamespace

import pytest
import torch
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import EPOCHS, SIGNALS, TRAINING, Batches, Plan, Raise, Rig, World, by_hand
from ranks import Ranks, ThreadAgreement, averaged, same
from torch import nn

from trackside import GradientAccumulation, PeerError, Trainer
from trackside.engine.ranks.common_begin import begun_by_all
from trackside.events import (
    CANCELS,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    IllegalCancelError,
    after_backward,
)

KINDS = (*CANCELS.values(), ValueError, KeyboardInterrupt)


def agreeing(rank, agreement):
    """A Rig whose trainer agrees with the others."""
    rig = Rig(lambda world: Trainer(world.model, world.loss_fn, world.optimizer))
    rig.trainer.agreement = agreement
    rig.trainer.wrap("backward", averaged(agreement))
    return rig


def on_ranks(*plans, collective=("backward",)):
    """The rigs, and the results of a fit in which each rank raises what its plan says."""

    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        return rig, rig.run(plans[rank])

    return zip(*Ranks(len(plans), collective).run(work), strict=True)


def assert_as_one_process(results, plan):
    """Every rank has the result of one process with `plan`; an error is that of one rank."""
    expected = by_hand(plan)
    for result in results:
        assert (result.log, result.moments) == (expected.log, expected.moments)
        assert (result.steps, result.ends) == (expected.steps, expected.ends)
        assert all(map(same, result.tensors, expected.tensors))
        assert bool(result.escaped) == bool(expected.escaped)
    assert expected.escaped in [result.escaped for result in results]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("signal", SIGNALS)
def test_what_one_rank_raises_at_a_signal_has_the_effect_of_one_process(signal, kind):
    plan = (Raise(kind, signal, 1),)
    (_, _), results = on_ranks((), plan)
    assert_as_one_process(results, plan)


@st.composite
def dealt_plans(draw):
    """A plan of distinct moments, and what of it each of two or three ranks raises."""
    moments = st.tuples(st.sampled_from([*SIGNALS, "loader"]), st.integers(1, EPOCHS * TRAINING))
    plan = [
        Raise(draw(st.sampled_from(KINDS)), *moment)
        for moment in draw(st.lists(moments, min_size=1, max_size=4, unique=True))
    ]
    ranks = draw(st.integers(2, 3))
    dealt = [(entry, draw(st.integers(0, ranks - 1))) for entry in plan]
    parts = [tuple(entry for entry, to in dealt if to == rank) for rank in range(ranks)]
    return tuple(plan), parts


def check_dealt_plan(dealt):
    plan, parts = dealt
    _, results = on_ranks(*parts)
    assert_as_one_process(results, plan)


@given(dealt_plans())
@settings(max_examples=20)
def test_random_plans_dealt_to_some_ranks_have_the_effect_of_one_process(dealt):
    check_dealt_plan(dealt)


@pytest.mark.long
@given(dealt_plans())
@settings(max_examples=300)
def test_many_random_plans_dealt_to_some_ranks_have_the_effect_of_one_process(dealt):
    check_dealt_plan(dealt)


@pytest.mark.parametrize("kind", [CancelBatchException, CancelEpochException, ValueError])
@pytest.mark.parametrize("activity", ["model", "loss", "score"])
def test_what_one_rank_raises_before_its_gradients_ends_on_all_ranks_alike(activity, kind):
    plan = (Raise(kind, activity, 2),)
    _, (one, other) = on_ranks((), plan)
    expected = by_hand(plan)
    for result in (one, other):
        assert (result.steps, result.ends) == (expected.steps, expected.ends)
        assert all(map(same, result.tensors, expected.tensors))
    assert other.escaped == expected.escaped
    assert bool(one.escaped) == bool(other.escaped)


@pytest.mark.parametrize("kind", [CancelBatchException, ValueError])
def test_what_one_rank_raises_inside_backward_fails_all_ranks_at_once(kind):
    _, (one, other) = on_ranks((), (Raise(kind, "backward", 2),))
    assert (one.ends, other.ends) == ("failed", "failed")
    assert one.escaped[0] == "PeerError"
    assert kind.__name__ in one.escaped[1]
    assert "this rank failed" not in one.escaped[1]
    assert other.escaped[0] == ("ValueError" if kind is ValueError else "IllegalCancelError")


def test_a_step_that_one_rank_does_not_make_fails_all_ranks():
    plan = (Raise(CANCELS["step"], "optimizer", 2),)
    _, (one, other) = on_ranks((), plan, collective=("backward", "step"))
    assert (one.ends, other.ends) == ("failed", "failed")
    assert (one.escaped[0], other.escaped[0]) == ("PeerError", "IllegalCancelError")
    assert "CancelStepException" in one.escaped[1]


def test_two_ranks_raise_different_things_at_once_and_the_outermost_scope_wins():
    plans = (
        (Raise(CancelBatchException, "after_loss", 2),),
        (Raise(CancelEpochException, "after_loss", 2),),
    )
    rigs, results = on_ranks(*plans)
    assert_as_one_process(results, plans[1])
    assert rigs[0].trainer.state.cancel is None


def test_a_cancel_names_the_rank_the_handler_and_the_reason_on_every_rank():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def stop(trainer, state):
            if rank == 1 and state.step == 1:
                raise CancelFitException("the disk of rank 1 is full")

        rig.trainer.on("after_step")(stop)
        rig.run()
        cancel = rig.trainer.state.cancel
        return type(cancel), cancel.reason, cancel.raised_by, cancel.raised_in

    for found in Ranks(2).run(work):
        assert found == (
            CancelFitException,
            "the disk of rank 1 is full",
            "rank 1: handler stop",
            "fit.epoch.train.batch.zero_grad",
        )


def test_the_other_ranks_raise_a_peer_error_with_the_traceback_of_the_culprit():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def fail(trainer, state):
            if rank == 2:
                raise ValueError("only here")

        rig.trainer.on("after_train")(fail)
        with pytest.raises((PeerError, ValueError)) as raised:
            rig.trainer.fit(rig.world.train_loader)
        return raised.value

    zero, one, two = Ranks(3).run(work)
    assert type(two) is ValueError
    for error in (zero, one):
        assert (error.rank, error.raised_by) == (2, "handler fail")
        assert error.raised_in == "fit.epoch.trained"
        assert 'raise ValueError("only here")' in error.traceback
        assert "rank 2: ValueError: only here, raised by handler fail" in str(error)


def test_a_cancel_of_a_class_of_ones_own_keeps_its_class_on_the_other_ranks():
    class DiskFull(CancelFitException):
        def __init__(self, disk, used):
            super().__init__(f"{disk} is full: {used}")

    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def stop(trainer, state):
            if rank == 0:
                raise DiskFull("sda", 0.99)

        rig.trainer.on("begin_train")(stop)
        rig.run()
        return rig.trainer.state.cancel

    for cancel in Ranks(2).run(work):
        assert (type(cancel).__name__, cancel.reason) == ("DiskFull", "sda is full: 0.99")


@pytest.mark.parametrize("lengths", [(3, 2), (1, 3)])
def test_the_shortest_loader_ends_the_epoch_for_all(lengths):
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        loader = Batches(Plan(), lengths[rank], seed=1)
        rig.trainer.fit(loader, Batches(Plan(), 5 - lengths[rank], seed=2), epochs=2)
        return rig.trainer.state, [m.signal for m in rig.moments], rig.result()

    (one, signals, first), (other, others, second) = Ranks(2).run(work)
    assert signals == others
    assert one.step == other.step == 2 * min(lengths)
    assert one.samples == other.samples == 8 * min(lengths)
    assert one.batch_index == other.batch_index
    assert all(map(same, first.tensors, second.tensors))


def test_weights_of_the_ranks_are_equal_bit_for_bit_after_cancels():
    plan = (
        Raise(CancelBatchException, "after_loss", 2),
        Raise(CancelEpochException, "begin_step", 3),
    )
    _, results = on_ranks((), plan[:1], plan[1:])
    for others in zip(*(result.tensors[:2] for result in results), strict=True):
        assert all(torch.equal(others[0], other) for other in others)


def test_a_fit_that_a_handler_shortens_on_one_rank_is_short_on_all():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def shorten(trainer, state):
            if rank == 1:
                state.n_epochs = 1

        rig.trainer.on("after_train")(shorten)
        rig.run()
        return rig.trainer.state

    for state in Ranks(2).run(work):
        assert (state.epoch, state.step, state.phase) == (0, TRAINING, "completed")


def test_ranks_that_choose_what_cannot_be_joined_fail_with_one_message():
    chart_of_two = [
        ("begin_run", ("idle", "completed", "cancelled", "failed"), "run.ready"),
        ("tick", "run.ready", "run.left"),
        ("tock", "run.ready", "run.right"),
        ("after_run", "run", "completed"),
        ("after_cancel_run", "run", "run.cancelled"),
        ("after_error", "run", "run.failing"),
        ("after_run", "run.cancelled", "cancelled"),
        ("after_run", "run.failing", "failed"),
    ]

    def work(rank, agreement):
        model = nn.Linear(1, 1)
        trainer = Trainer(
            model,
            optimizer=torch.optim.SGD(model.parameters()),
            chart=chart_of_two,
            activities={
                "run.ready": lambda state: ("tick", "tock")[rank],
                "left": lambda state: "after_run",
                "right": lambda state: "after_run",
            },
        )
        trainer.agreement = agreement
        with pytest.raises(PeerError, match=r"do not agree on what follows run\.ready"):
            trainer.fit()
        return trainer.state.phase

    assert Ranks(2).run(work) == ["failed", "failed"]


def test_a_request_on_one_rank_closes_the_scope_on_all():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def request(trainer, state):
            if rank == 1 and (state.epoch, state.batch_index) == (0, 1):
                stopping = threading.Thread(target=trainer.request, args=[CancelTrainException()])
                stopping.start()
                stopping.join()

        rig.trainer.on("after_backward")(request)
        return rig.run(), rig.trainer.state.step

    (one, steps), (other, others) = Ranks(2).run(work)
    assert one == other
    assert steps == others == 1 + TRAINING


def test_a_request_is_seen_where_nobody_listens():
    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement

        def requesting(loss):
            def run(state):
                if rank == 0 and state.step == 1:
                    trainer.request(CancelFitException("enough"))
                return loss(state)

            return run

        trainer.wrap("loss", requesting)
        trainer.fit(world.train_loader, epochs=EPOCHS)
        return trainer.state.outcome, trainer.state.step, trainer.state.cancel.raised_by

    one, other = Ranks(2).run(work)
    assert one == other
    assert one[0] == "cancelled"
    assert one[2].startswith("rank 0: a request of thread")


def test_what_a_receiver_of_reported_raises_is_agreed_on():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.trainer.on("after_train")(lambda trainer, state: state.report(x=rank))

        def judge(trainer, state):
            if rank == 1:
                raise CancelFitException("x is too high")

        rig.trainer.on("reported")(judge)
        return rig.run(), rig.trainer.state.cancel.reason

    (one, reason), (other, others) = Ranks(2).run(work)
    assert one == other
    assert reason == others == "x is too high"


def test_an_error_before_a_run_says_if_the_other_ranks_could_not_be_told():
    ranks = Ranks(2)
    ranks.control.end()
    trainer = SimpleNamespace(agreement=ThreadAgreement(ranks, 0))
    with pytest.raises(ValueError, match="no data") as caught, begun_by_all(trainer):
        raise ValueError("no data")
    [note] = caught.value.__notes__
    assert note.startswith("trackside: the other ranks were not told of it: another rank has left")


def test_a_rank_whose_fit_cannot_begin_does_not_let_the_others_wait():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        if rank == 1:
            rig.trainer.on("any_transition")(Unprepared())
        with pytest.raises((PeerError, OSError)):
            rig.trainer.fit(rig.world.train_loader)

    Ranks(2).run(work)


class Unprepared:
    """A receiver that fails when its route is built."""

    def __call__(self, trainer, state, transition):
        pass

    def for_transition(self, transition):
        raise OSError("not here")


def test_a_rank_whose_host_closes_the_iterator_fails_the_others():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        run = rig.trainer.steps(rig.world.train_loader)
        for _ in range(20):
            next(run)
        if rank == 1:
            run.close()
            return rig.trainer.state.phase
        with pytest.raises(PeerError):
            list(run)
        return rig.trainer.state.phase

    assert Ranks(2).run(work) == ["failed", "cancelled"]


def votes_a_batch(rank, agreement):
    """The votes of a longer fit beyond those of a shorter one, for each batch."""
    votes = []
    for count in (5, 15):
        world, before = World(Plan()), len(agreement.votes)
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.fit(Batches(Plan(), count, seed=1))
        votes.append(len(agreement.votes) - before)
    return (votes[1] - votes[0]) / 10


def test_without_listeners_a_batch_has_two_votes():
    assert Ranks(2).run(votes_a_batch) == [2, 2]


def test_a_listener_on_one_rank_is_one_more_vote_on_all_ranks():
    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.fit(world.train_loader)
        before = len(agreement.votes)
        if rank == 1:
            trainer.on("after_backward")(lambda trainer, state: None)
        trainer.fit(world.train_loader)
        return len(agreement.votes) - 2 * before

    assert Ranks(2).run(work) == [TRAINING, TRAINING]


def test_a_listener_costs_votes_from_when_it_subscribes_until_it_is_gone():
    def work(rank, agreement):
        world, counts = World(Plan()), []
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement

        def listen(trainer, state):
            """Listen, and do nothing."""

        def change(trainer, state):
            counts.append(len(agreement.votes))
            if rank == 1:
                change_it = after_backward.disconnect if state.epoch else after_backward.connect
                change_it(listen, trainer)

        trainer.on("after_train")(change)
        trainer.fit(world.train_loader, epochs=3)
        second, third = counts[1] - counts[0], counts[2] - counts[1]
        return second - third

    assert Ranks(2).run(work) == [TRAINING, TRAINING]


class Quiet:
    """Says that it never cancels; raises what it is given in the second batch."""

    never_cancels = True

    def __init__(self, raised=None):
        self.raised = raised

    def after_batch(self, trainer, state):
        if self.raised is not None and state.batch_index == 1 and state.training:
            raise self.raised


def quiet_trainer(agreement, *handlers):
    """A trainer that agrees with the others, with no receiver but those of `handlers`."""
    world = World(Plan())
    trainer = Trainer(world.model, world.loss_fn, world.optimizer, handlers)
    trainer.agreement = agreement
    trainer.wrap("backward", averaged(agreement))
    return trainer


def test_a_handler_that_never_cancels_costs_no_vote_a_batch():
    def work(rank, agreement):
        votes = []
        for handlers in ([], [Quiet()]):
            before = len(agreement.votes)
            quiet_trainer(agreement, *handlers).fit(Batches(Plan(), 5, seed=1))
            votes.append(len(agreement.votes) - before)
        return votes

    (without, with_it), _ = Ranks(2).run(work)
    assert with_it == without


@pytest.mark.parametrize("certain", [False, True])
@pytest.mark.parametrize(
    ("raised", "escapes", "text"),
    [
        (ValueError, ValueError, "planted"),
        (CancelEpochException, IllegalCancelError, "Quiet declares never_cancels = True"),
    ],
)
def test_what_a_handler_that_never_cancels_raises_fails_all_ranks(raised, escapes, text, certain):
    def work(rank, agreement):
        trainer = quiet_trainer(agreement, Quiet(raised("planted") if rank == 1 else None))
        with pytest.raises(escapes if rank == 1 else PeerError, match=text):
            trainer.fit(Batches(Plan(), 4, seed=1))
        return trainer.state.phase, trainer.state.batch_index

    assert Ranks(2, certain=certain).run(work) == [("failed", 2)] * 2


@pytest.mark.parametrize("signal", ["after_batch", "after_train", "after_epoch", "after_fit"])
def test_an_error_of_a_handler_that_never_cancels_is_not_lost_at_the_end(signal):
    def work(rank, agreement):
        def fail(self, trainer, state):
            if rank == 1 and state.batch_index == 1:
                raise ValueError("at the end")

        last = type("Last", (), {"never_cancels": True, signal: fail})()
        trainer = quiet_trainer(agreement, last)
        with pytest.raises(ValueError if rank == 1 else PeerError, match="at the end"):
            trainer.fit(Batches(Plan(), 2, seed=1), epochs=1)
        return trainer.state.phase

    assert Ranks(2).run(work) == ["failed"] * 2


def test_a_run_leaves_no_recording_behind():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.run()
        rig.trainer.agreement = None
        rig.trainer.wrap(
            "backward", lambda _: lambda state: state.loss.backward() or "after_backward"
        )
        return rig.trainer.instruments, rig.run((Raise(ValueError, "after_loss", 1),)).escaped

    for instruments, escaped in Ranks(2).run(work):
        assert instruments == ()
        assert escaped == ("ValueError", "ValueError at after_loss 1")


def test_ranks_agree_in_a_validation_outside_of_a_fit():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin((Raise(ValueError, "after_loss", 2),) if rank == 1 else ())
        with pytest.raises((PeerError, ValueError)) as raised:
            rig.trainer.validate(rig.world.valid_loader)
        return type(raised.value), [moment.signal for moment in rig.moments]

    (one, signals), (other, others) = Ranks(2).run(work)
    assert (one, other) == (PeerError, ValueError)
    assert signals == others


def test_a_resumed_fit_agrees_from_its_first_signal_on():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin()
        run, saved = rig.trainer.steps(rig.world.train_loader.batches, epochs=EPOCHS), None
        for transition in run:
            if transition.trigger == "after_batch" and rig.trainer.state.step == 2:
                saved = rig.trainer.state_dict()
                break
        run.close()
        return saved

    def resume(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin((Raise(CancelFitException, "after_step", 1),) if rank == 1 else ())
        rig.trainer.fit(rig.world.train_loader.batches, resume=saved[rank])
        return rig.trainer.state.step, [moment.signal for moment in rig.moments]

    saved = [torch_copy(one) for one in Ranks(1).run(work) * 2]
    (one, signals), (other, others) = Ranks(2).run(resume)
    assert one == other == 3
    assert signals == others
    assert signals[0] == "begin_batch"


def torch_copy(saved):
    """A copy of a state dict: two ranks do not share tensors."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_a_step_with_a_closure_votes_outside_of_the_closure():
    def work(rank, agreement):
        world = World(Plan())
        optimizer = torch.optim.LBFGS(world.model.parameters(), max_iter=3)
        trainer = Trainer(world.model, world.loss_fn, optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))
        trainer.on("after_loss")(lambda trainer, state: None)
        trainer.fit(world.train_loader)
        return trainer.state.step, [p.tolist() for p in world.model.parameters()]

    one, other = Ranks(2).run(work)
    assert one == other
    assert one[0] == TRAINING


def test_accumulation_on_all_ranks_makes_the_same_steps():
    def work(rank, agreement):
        world = World(Plan())
        handlers = [GradientAccumulation(3)]
        trainer = Trainer(world.model, world.loss_fn, world.optimizer, handlers=handlers)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))
        trainer.fit(world.train_loader, epochs=EPOCHS)
        return trainer.state.step, [p.tolist() for p in world.model.parameters()]

    one, other = Ranks(2).run(work)
    assert one == other
    assert one[0] == EPOCHS * TRAINING // 3


def test_a_logger_that_only_detaches_itself_asks_for_no_vote():
    class Logger:
        on_error = "detach"

        def after_backward(self, trainer, state):
            raise OSError("disk full")

    def work(rank, agreement):
        counts = []
        for handlers in ([], [Logger()]):
            world, before = World(Plan()), len(agreement.votes)
            trainer = Trainer(world.model, world.loss_fn, world.optimizer, handlers=handlers)
            trainer.agreement = agreement
            trainer.fit(world.train_loader)
            counts.append(len(agreement.votes) - before)
        return counts[1] - counts[0]

    assert Ranks(2).run(work) == [0, 0]


def test_an_interrupt_on_one_rank_ends_all():
    _, (one, other) = on_ranks((), (Raise(KeyboardInterrupt, "after_loss", 2),))
    assert other.escaped[0] == "KeyboardInterrupt"
    assert one.escaped[0] == "PeerError"
    assert one.signals == other.signals


@pytest.mark.parametrize("where", ["vote", "share"])
def test_an_interrupt_while_a_rank_waits_for_a_vote_tells_the_others(where):
    class Interrupted:
        rank, world_size, collective, has_left = 0, 2, (), False
        vote_watchers = ()

        def begin(self, failure):
            assert failure is None

        def cast(self, ballot):
            self.ballot = ballot

        def result(self):
            if where == "vote":
                raise KeyboardInterrupt
            return [1, *self.ballot[1:]]

        def certain_batches(self, state):
            return 0

        def share(self, records):
            raise KeyboardInterrupt

        def abort(self):
            return True

        def leave(self):
            self.has_left = True

    trainer, agreement = trainer_of(), Interrupted()
    trainer.agreement = agreement
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches(1))
    assert agreement.has_left


def test_an_interrupt_of_an_unwinding_tells_the_others():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin((Raise(CancelBatchException, "after_loss", 2),) if rank == 0 else ())
        run = rig.trainer.steps(rig.world.train_loader, epochs=EPOCHS)

        def drive():
            for transition in run:
                if rank == 1 and transition.trigger == "after_cancel_batch":
                    run.throw(KeyboardInterrupt())

        with pytest.raises((PeerError, KeyboardInterrupt)) as raised:
            drive()
        return type(raised.value), str(raised.value), rig.trainer.state.phase

    one, other = Ranks(2).run(work)
    assert one == (PeerError, "another rank has left the votes", "failed")
    assert other == (KeyboardInterrupt, "", "failed")


def test_of_two_interrupts_the_first_one_notes_what_has_failed_before():
    interrupts = [KeyboardInterrupt("first"), KeyboardInterrupt("second")]

    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin((Raise(ValueError, "backward", 2),) if rank == 1 else ())
        run = rig.trainer.steps(rig.world.train_loader, epochs=EPOCHS)
        waiting = [*interrupts] if rank == 0 else []

        def drive():
            for transition in run:
                failed = agreement.ranks.aborted and transition.trigger.startswith("after_")
                if failed and waiting:
                    run.throw(waiting.pop(0))

        with pytest.raises((KeyboardInterrupt, ValueError)) as raised:
            drive()
        return type(raised.value)

    assert Ranks(2).run(work)[0] is KeyboardInterrupt
    first, second = (str(getattr(error, "__notes__", "")) for error in interrupts)
    assert first.count("this rank failed as a result") == 1
    assert "this rank failed as a result" not in second


def quiet_fits(raising, **ranks):
    """What two ranks find at the end of fits in which rank 1 alone has a listener, `raising`."""

    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))
        if rank == 1:
            trainer.on("after_loss")(raising)
        closed = []
        for signal in ("after_backward", "after_cancel_batch", "after_batch", "after_epoch"):
            trainer.on(signal)(lambda trainer, state, signal=signal: closed.append(signal))
        escaped = None
        try:
            trainer.fit(world.train_loader, world.valid_loader, epochs=EPOCHS)
        except Exception as error:
            escaped = type(error)
        state = trainer.state
        found = state.phase, state.step, state.samples, state.batch_index, closed
        return found, escaped, [*world.model.parameters()], agreement.overlapped

    return Ranks(2, **ranks).run(work)


@pytest.mark.parametrize("kind", [*CANCELS.values(), ValueError])
def test_a_vote_that_is_open_in_the_backward_pass_has_the_effect_of_one_before_it(kind):
    def once(trainer, state):
        if (state.epoch, state.batch_index, state.training) == (0, 1, True):
            raise kind("now") if kind is not ValueError else ValueError("now")

    closed = quiet_fits(once)
    opened = quiet_fits(once, overlap=True)
    for before, after in zip(closed, opened, strict=True):
        assert after[:2] == before[:2]
        assert all(map(torch.equal, after[2], before[2]))
        assert (before[3], after[3] > 0) == (0, True)


def test_a_host_that_steps_sees_no_backward_pass_of_a_batch_that_a_rank_has_cancelled():
    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))

        def cancel(trainer, state):
            raise CancelBatchException("every batch")

        if rank == 1:
            trainer.on("after_loss")(cancel)
        return [step.trigger for step in trainer.steps(world.train_loader)].count("begin_backward")

    assert Ranks(2, overlap=True).run(work) == [0, 0]


def test_an_activity_that_skips_the_backward_pass_while_a_vote_is_open_closes_the_batch_once():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def skipping(score):
            def run(state):
                return "after_batch" if state.batch_index == 1 else score(state)

            return run

        def cancel(trainer, state):
            if rank == 1 and state.batch_index == 1 and state.training:
                raise CancelBatchException("only here")

        rig.trainer.wrap("train.batch.scored", skipping)
        rig.trainer.on("after_loss")(cancel)
        rig.run()
        closed = [m for m in rig.moments if m.signal == "after_batch"]
        return rig.moments, len(closed), agreement.overlapped

    (one, closed, overlapped), (other, _, _) = Ranks(2, overlap=True).run(work)
    assert one == other
    assert closed == len([m for m in one if m.signal == "begin_batch"])
    assert overlapped


def test_a_batch_that_is_certain_has_one_vote():
    assert Ranks(2, certain=True).run(votes_a_batch) == [1, 1]


def test_an_error_of_a_loader_that_is_certain_closes_the_batch_on_all_ranks():
    plan = (Raise(ValueError, "loader", 2),)

    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        return rig, rig.run(plan if rank == 1 else ())

    found = Ranks(2, overlap=True, certain=True).run(work)
    (_, one), (_, other) = found
    assert one.escaped[0] == "PeerError"
    assert other.escaped == ("ValueError", "ValueError at loader 2")
    assert one.ends == other.ends == "failed"
    assert one.steps == other.steps == 1
    scopes = ["after_batch", "after_train", "after_epoch", "after_error", "after_fit"]
    for rig, _ in found:
        assert [moment.signal for moment in rig.moments][-5:] == scopes


def test_a_cancel_that_all_loaders_raise_is_acted_upon_where_it_was_raised():
    plan = (Raise(CancelEpochException, "loader", 2),)

    def work(rank, agreement):
        return agreeing(rank, agreement).run(plan)

    assert_as_one_process(Ranks(2, certain=True).run(work), plan)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (CancelBatchException, EPOCHS * TRAINING - 1),
        (CancelEpochException, 1 + TRAINING),
        (CancelFitException, 1),
    ],
)
def test_a_cancel_of_the_loader_of_one_rank_is_agreed_on_in_that_batch(kind, steps, overlap):
    def work(rank, agreement):
        plan = (Raise(kind, "loader", 2),) if rank == 1 else ()
        rig = agreeing(rank, agreement)
        return rig.run(plan), rig.trainer.state.batch_index

    found = Ranks(2, overlap=overlap, certain=True).run(work)
    (one, batch), (other, others) = found
    begun = [m for m in one.moments if (m.signal, m.step, m.batch) == ("begin_batch", 1, 1)]
    assert [m for m in one.moments if m not in begun] == other.moments  # it has no such batch
    assert one.steps == other.steps == steps
    assert one.ends == other.ends
    assert not one.escaped
    assert batch == others
    assert all(map(same, one.tensors, other.tensors))


def test_a_cancel_of_the_loader_of_one_rank_between_votes_lets_no_rank_wait():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)
        rig.begin((Raise(CancelEpochException, "loader", 3),) if rank == 1 else ())
        with pytest.raises((PeerError, IllegalCancelError)) as raised:
            rig.trainer.fit(Batches(rig.plan, 12, seed=1))
        return type(raised.value), rig.trainer.state.phase

    found = Ranks(2, certain=True, every=4).run(work)
    assert found == [(PeerError, "failed"), (IllegalCancelError, "failed")]


@pytest.mark.parametrize("signal", ["after_train", "begin_epoch"])
def test_a_handler_waits_in_an_exchange_for_no_rank_that_has_raised(signal):
    def work(rank, agreement):
        rig, met = agreeing(rank, agreement), []

        def exchange(trainer, state):
            if rank == 1 and state.epoch == 1:
                raise ValueError("only here")
            agreement.meet("a number")
            met.append(state.epoch)

        rig.trainer.on(signal)(exchange)
        return rig.run(), met

    (one, met), (other, others) = Ranks(2).run(work)
    assert met == others == [0]
    assert one.moments == other.moments
    assert one.escaped[0] == "PeerError"
    assert other.escaped == ("ValueError", "only here")


def test_handlers_that_exchange_different_things_at_once_fail_all_ranks():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def exchange(trainer, state):
            agreement.meet(("a number", "a text")[rank])

        rig.trainer.on("after_train")(exchange)
        return rig.run().escaped

    for kind, message in Ranks(2).run(work):
        assert kind == "PeerError"
        assert message.startswith("a handler exchanges something with the other ranks in")


def test_an_exchange_is_made_by_ranks_of_which_one_has_raised_before_it():
    def work(rank, agreement):
        rig, met = agreeing(rank, agreement), []

        def cancel(trainer, state):
            if rank == 1:
                raise CancelFitException("only here")

        def exchange(trainer, state):
            agreement.meet("a number")
            met.append(state.epoch)

        rig.trainer.on("after_train")(cancel)
        rig.trainer.on("after_train")(exchange)
        return rig.run().ends, met

    assert Ranks(2).run(work) == [("cancelled", [0])] * 2


def test_an_error_of_a_rank_is_not_lost_when_another_rank_is():
    def work(rank, agreement):
        rig = agreeing(rank, agreement)

        def fail(trainer, state):
            if rank == 0:
                agreement.leave()
            raise ValueError("only here")

        rig.trainer.on("after_loss")(fail)
        with pytest.raises((PeerError, ValueError)) as raised:
            rig.trainer.fit(rig.world.train_loader)
        return str(raised.value)

    assert "only here" in Ranks(2).run(work)[1]


def test_a_rank_that_cannot_make_a_collective_pass_does_not_let_the_others_wait():
    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))

        def scoring(score):
            def run(state):
                if rank == 1:
                    raise CancelBatchException("only here")
                return score(state)

            return run

        trainer.wrap("train.batch.scored", scoring)
        with pytest.raises(RuntimeError) as raised:
            trainer.fit(world.train_loader)
        return type(raised.value).__name__

    assert Ranks(2).run(work) == ["PeerError", "IllegalCancelError"]


def muted_fits(raising, signal="after_step", epochs=1):
    """Two ranks that vote in every fourth of 12 batches; rank 1 raises at a signal."""

    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))
        if rank == 1:
            trainer.on(signal)(raising)
        before, escaped = len(agreement.votes), None
        try:
            trainer.fit(Batches(Plan(), 12, seed=1), epochs=epochs)
        except Exception as error:
            escaped = type(error).__name__
        state = trainer.state
        votes = len(agreement.votes) - before
        return [state.outcome, state.step, votes], escaped, [*world.model.parameters()]

    return Ranks(2, certain=True, every=4).run(work)


def test_of_several_batches_one_has_votes():
    (one, _, _), (other, _, _) = muted_fits(lambda trainer, state: None)
    assert one == other
    assert one[:2] == ["completed", 12]
    assert one[2] < 12


def test_a_cancel_between_votes_is_acted_upon_at_the_next_one():
    def stop(trainer, state):
        if state.step == 3:
            raise CancelFitException("enough")

    (one, _, weights), (other, _, others) = muted_fits(stop)
    assert one == other
    assert one[0] == "cancelled"
    assert 3 < one[1] <= 3 + 4
    assert all(map(torch.equal, weights, others))


def test_a_cancel_of_a_batch_between_votes_cancels_a_later_one():
    def skip(trainer, state):
        if state.step == 3:
            raise CancelBatchException("late")

    (one, _, weights), (other, _, others) = muted_fits(skip, "after_backward")
    assert one == other
    assert one[:2] == ["completed", 11]
    assert all(map(torch.equal, weights, others))


@pytest.mark.parametrize("activity", ["train.fetch", "forward", "loss", "backward", "step"])
def test_an_error_of_an_activity_between_votes_ends_all_ranks(activity):
    def work(rank, agreement):
        world = World(Plan())
        trainer = Trainer(world.model, world.loss_fn, world.optimizer)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))

        def failing(run):
            def fail(state):
                if rank == 1 and state.batch_index == 2:
                    raise ValueError("only here")
                return run(state)

            return fail

        trainer.wrap(activity, failing)
        with pytest.raises((PeerError, ValueError)) as raised:
            trainer.fit(Batches(Plan(), 12, seed=1))
        return type(raised.value).__name__, trainer.state.phase

    found = Ranks(2, collective=("backward", "step"), certain=True, every=4).run(work)
    assert found == [("PeerError", "failed"), ("ValueError", "failed")]
