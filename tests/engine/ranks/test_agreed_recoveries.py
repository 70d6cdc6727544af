"""Several ranks run a batch again, or roll back, alike: as one process in which it was raised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Batches, Plan, Raise, World
from ranks import Ranks, averaged, same
from recovering import RecoveringRig, recovered_by_hand

from trackside import Snapshots, Trainer
from trackside.events import (
    CancelBatchException,
    CancelTrainException,
    PeerError,
    RetryBatchException,
    RollbackException,
)

KINDS = RetryBatchException, RollbackException


def on_ranks(*plans):
    """The trainers, and the results of a fit in which each rank raises what its plan says."""

    def work(rank, agreement):
        rig = RecoveringRig()
        rig.trainer.agreement = agreement
        rig.trainer.wrap("backward", averaged(agreement))
        return rig.trainer, rig.run(plans[rank])

    return zip(*Ranks(len(plans)).run(work), strict=True)


def check(plan, *parts):
    trainers, results = on_ranks(*parts)
    expected = recovered_by_hand(plan)
    for result in results:
        assert (result.log, result.moments) == (expected.log, expected.moments)
        assert (result.steps, result.ends) == (expected.steps, expected.ends)
        assert all(map(same, result.tensors, expected.tensors))
    return trainers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("point", "n"), [("begin_batch", 3), ("after_loss", 6), ("after_pred", 1)])
def test_what_one_rank_raises_goes_back_on_all(kind, point, n):
    plan = (Raise(kind, point, n),)
    trainers = check(plan, (), plan)
    made = [trainer.state.rollbacks for trainer in trainers]
    assert made[0] == made[1]
    assert len(made[0]) == (kind is RollbackException)


@pytest.mark.parametrize(
    ("weak", "strong"),
    [
        (RetryBatchException, RollbackException),
        (RetryBatchException, CancelBatchException),
        (RollbackException, CancelTrainException),
    ],
)
def test_of_what_two_ranks_raise_at_once_all_do_what_asks_for_more(weak, strong):
    plans = (Raise(weak, "after_loss", 2),), (Raise(strong, "after_loss", 2),)
    check(plans[1], *plans)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.sampled_from(("begin_batch", "after_loss", "begin_train", "after_batch")),
            st.integers(1, 6),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: one[1:3],
    )
)
@settings(max_examples=10)
def test_random_recoveries_dealt_to_two_ranks_have_the_effect_of_one_process(dealt):
    plan = tuple(Raise(*one[:3]) for one in dealt)
    parts = [tuple(Raise(*one[:3]) for one in dealt if one[3] == rank) for rank in range(2)]
    check(plan, *parts)


def test_a_peer_gets_the_budget_the_split_and_the_snapshot():
    def work(rank, agreement):
        rig = RecoveringRig()
        rig.trainer.agreement = agreement
        rig.trainer.wrap("backward", averaged(agreement))
        found = []

        def go_back(trainer, state):
            if rank == 1 and state.training and (state.epoch, state.batch_index) == (1, 0):
                if state.attempt == 0:
                    raise RetryBatchException("halves", split=2, budget=1)
                if not state.rollbacks:
                    raise RollbackException("older", to=state.snapshots[0], skip=1, budget=2)

        def note(trainer, state):
            found.append({**vars(state.cancel), **state.cancel.carried()})

        rig.trainer.on("after_loss")(go_back)
        rig.trainer.on("begin_retry")(note)
        rig.trainer.on("begin_rollback")(note)
        rig.run()
        kept = "reason", "split", "to", "skip", "budget"
        parts = [{name: one[name] for name in kept if name in one} for one in found]
        return parts, rig.trainer.state.rollbacks

    zero, one = Ranks(2).run(work)
    assert zero == one
    parts, made = zero
    assert parts == [
        {"reason": "halves", "split": 2, "budget": 1},
        {"reason": "older", "to": 0, "skip": 1, "budget": 2},
    ]
    assert [(each.to_step, each.first, each.last) for each in made] == [(0, (1, 0), (1, 0))]


def test_a_retry_that_fails_where_the_forward_pass_is_collective_ends_all_ranks():
    def work(rank, agreement):
        rig = RecoveringRig()
        rig.trainer.agreement = agreement

        def collective(forward):
            def run(state):
                if state.attempt and rank == 1:
                    raise ValueError("only here")
                agreement.ranks.data.exchange(rank, None)
                return forward(state)

            return run

        def once(trainer, state):
            if state.attempt == 0:
                raise RetryBatchException("again")

        rig.trainer.wrap("forward", collective)
        rig.trainer.on("after_loss")(once)
        with pytest.raises((PeerError, ValueError)) as raised:
            rig.trainer.fit(rig.world.train_loader)
        return type(raised.value), agreement.ranks.aborted

    ranks = Ranks(2, collective=("forward", "backward"))
    assert ranks.run(work) == [(PeerError, True), (ValueError, True)]


class RollsBack:
    """Rolls back once, in the sixth batch of rank 1."""

    def __init__(self, rank, **options):
        self.rank, self.options = rank, options

    def after_loss(self, trainer, state):
        if self.rank == 1 and state.batch_index == 5 and not state.rollbacks:
            raise RollbackException("a spike", **self.options)


@pytest.mark.parametrize(
    ("options", "first", "to_step"),
    [({"skip": 1}, 5, 4), ({"skip": 2}, 4, 4), ({}, 4, 4), ({"to": 0}, 0, 0)],
)
def test_a_rollback_between_votes_leaves_out_the_batch_in_which_it_was_raised(
    options, first, to_step
):
    def work(rank, agreement):
        world = World(Plan())
        handlers = [Snapshots(every=2, keep=9), RollsBack(rank, **options)]
        trainer = Trainer(world.model, world.loss_fn, world.optimizer, handlers)
        trainer.agreement = agreement
        trainer.wrap("backward", averaged(agreement))
        trainer.fit(Batches(Plan(), 12, seed=1).batches)
        return trainer.state.rollbacks, trainer.state.step, [*world.model.parameters()]

    found = Ranks(2, certain=True, every=4).run(work)
    (one, steps, weights), (other, others, same_weights) = found
    assert one == other
    assert [made[2:] for made in one] == [(to_step, (0, first), (0, 5))]
    assert one[0].step > 5  # it was acted upon later
    assert steps == others == 12 - (6 - first)
    assert all(map(same, weights, same_weights))
