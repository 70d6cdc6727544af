"""The recordings of several ranks, compared while they run and afterwards."""

import pytest
from helpers import batches, trainer_of
from recordings import recorded, recorded_ranks
from watched import wait_until

from trackside.handlers import Recorder
from trackside.handlers.recording.format import VOTE
from trackside.views import Recording, compare_ranks, status, totals
from trackside.views.recordings.rank_comparison import (
    RankComparison,
    RankTimes,
    group_ranks,
)
from trackside.views.recordings.totals import Total

FORWARD = "fit.epoch.train.batch.forward"
FETCH = "fit.epoch.train.fetch"
SCORED = "fit.epoch.train.batch.scored"


def now_of(recording, **changes):
    """A status that was made by hand."""
    return type(status(recording))(**{**vars(status(recording)), **changes})


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The status of a rank that waits for nobody, in its forward pass."""
    with recorded(tmp_path_factory.mktemp("one") / "run.loop", epochs=1) as recording:
        return now_of(recording, condition="running", phase=FORWARD, receiver="Slow.after_pred")


def times(rank, now, phases, waits=0):
    return RankTimes(
        rank,
        now,
        {phase: Total(10, ns) for phase, ns in phases.items()},
        {SCORED: Total(10, waits)},
    )


def changed(status, **fields):
    return type(status)(**{**vars(status), **fields})


def waits_at_loss(status):
    """Whether a rank waits in the vote after the prediction, and not in the one before."""
    return status.waits and status.phase.endswith("batch.loss")


@pytest.mark.parametrize("timing", [True, False])
def test_a_rank_that_waits_in_a_vote_says_so_and_which_one_it_waits_for(
    tmp_path, monkeypatch, timing
):
    seen = []

    def run(rank, trainer):
        def look(trainer, state):
            with Recording(tmp_path / "run.rank0.loop") as waiting:
                wait_until(lambda: waits_at_loss(status(waiting)))
                seen.append(status(waiting))
                with Recording(tmp_path / "run.rank1.loop") as own:
                    seen.append([one.rank for one in compare_ranks([waiting, own]).waited_for])

        if rank == 1:
            trainer.on("after_pred", when=lambda _, state: state.batch_index == 2)(look)
        else:
            trainer.on("after_pred")(lambda trainer, state: None)
        trainer.fit(batches(4), epochs=1)

    recordings = recorded_ranks(tmp_path, monkeypatch, run, timing=timing)
    now, waited_for = seen
    assert (now.phase, now.receiver) == ("fit.epoch.train.batch.loss", "")
    assert "running in fit › epoch › train › batch › loss, waits for the other ranks" in str(now)
    assert waited_for == [1]
    for recording in recordings:
        votes = [entry for entry in totals(recording).receivers if entry.is_wait]
        assert {(entry.name, entry.module) for entry in votes} == {VOTE}
        assert {FETCH, SCORED} <= {entry.signal for entry in votes}
        assert not status(recording).waits


def test_the_time_in_votes_is_taken_out_of_the_phase_in_which_a_rank_waits(tmp_path, monkeypatch):
    recordings = recorded_ranks(
        tmp_path, monkeypatch, lambda rank, trainer: trainer.fit(batches(4), epochs=2)
    )
    for one, recording in zip(compare_ranks(recordings).ranks, recordings, strict=True):
        current = totals(recording)
        assert one.waits[SCORED].count == 8
        assert one.waited == sum(t.ns for e, t in current.receivers.items() if e.is_wait)
        for phase in (FETCH, SCORED):
            assert one.phases[phase].ns + one.waits[phase].ns == current.phases[phase].ns


def test_a_second_fit_records_each_vote_once(tmp_path, monkeypatch):
    def run(rank, trainer):
        for _ in range(2):
            trainer.fit(batches(3), epochs=1)

    for one in compare_ranks(recorded_ranks(tmp_path, monkeypatch, run)).ranks:
        assert one.waits[SCORED].count == 6


def test_recordings_of_one_run_are_grouped_by_their_names(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("a.loop", "b.loop", "c"):
        for rank in range(2 if name != "b.loop" else 1):
            monkeypatch.setenv("RANK", str(rank))
            trainer_of(Recorder(tmp_path / name))
    names = [[path.name for path in run] for run in group_ranks(sorted(tmp_path.iterdir()))]
    assert names == [["a.rank0.loop", "a.rank1.loop"], ["c.rank0", "c.rank1"]]


def test_the_slowest_rank_is_the_one_that_waits_least_in_the_phase_where_it_loses_most(running):
    fast, slow = {FETCH: 2_500, FORWARD: 5_000}, {FETCH: 90_000, FORWARD: 5_500}
    ranks = RankComparison([times(0, running, fast, 89_000), times(1, running, slow, 100)])
    assert (ranks.slowest.rank, ranks.slowest_phase) == (1, FETCH)
    assert ranks.sentences == [
        "rank 1 is the slowest, in fit › epoch › train › fetch: 9.00 µs each time, "
        "250 ns on the fastest rank; rank 0 has waited 89.0 µs for others"
    ]


def test_ranks_that_are_equally_fast_have_no_slowest_phase(running):
    phases = {FETCH: 1_000, FORWARD: 5_000}
    ranks = RankComparison([times(rank, running, phases, 10 * rank) for rank in range(3)])
    assert ranks.slowest_phase == ""
    assert ranks.sentences == []


@pytest.mark.parametrize(
    ("fields", "does"),
    [
        ({"idle": 60.0, "usual": 0.1}, "stands still in Slow.after_pred"),
        ({"condition": "died"}, "has died in Slow.after_pred"),
        ({"condition": "ended"}, "has ended in Slow.after_pred"),
        ({"idle": 60.0, "usual": None}, "stands still in Slow.after_pred"),
    ],
)
def test_the_rank_that_stands_still_is_named_with_its_handler_and_who_waits(running, fields, does):
    waiting = changed(running, waits=True, receiver="", phase=SCORED, idle=59.0, usual=0.1)
    ranks = RankComparison(
        [
            times(0, waiting, {}),
            times(1, changed(running, **fields), {}),
            times(2, waiting, {}),
        ]
    )
    assert [one.rank for one in ranks.culprits] == [1]
    assert ranks.sentences == [
        f"rank 1 {does}, in fit › epoch › train › batch › forward; ranks 0, 2 wait for it"
    ]


def test_a_rank_that_works_longer_than_the_others_is_no_culprit_yet(running):
    waiting = changed(running, waits=True, receiver="", idle=0.2, usual=0.1)
    ranks = RankComparison([times(0, waiting, {}), times(1, running, {})])
    assert [one.rank for one in ranks.waited_for] == [1]
    assert ranks.culprits == []


def test_no_recording_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        compare_ranks([])
