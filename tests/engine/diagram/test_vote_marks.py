"""The marks of the phases at which several ranks vote."""

import dataclasses
import re

from helpers import trainer_of

from trackside.engine import SUPERVISED, Topology
from trackside.engine.diagram.vote_marks import voting_phases

MARK = "\N{BLACK DIAMOND}"
DECIDING = [
    "fit.ready",
    "fit.epoch.ready",
    "fit.epoch.train.fetch",
    "fit.epoch.trained",
    "fit.epoch.validate.fetch",
    "fit.epoch.validated",
    "fit.epoch.train.restore",
]
SCORED = ["fit.epoch.train.batch.scored", "fit.epoch.validate.batch.scored"]


def marked(svg):
    found = re.findall(r'data-phase="([^"]+)"><title>[^<]*: the ranks vote here<', svg)
    assert svg.count('<path class="vote"') == len(found)
    return sorted(found)


def test_one_process_has_no_marks():
    diagram = trainer_of().diagram
    assert marked(diagram.svg) == []
    assert MARK not in diagram.dot + diagram.mermaid


def test_several_ranks_vote_on_what_follows_a_phase_and_before_the_gradients():
    trainer = trainer_of()
    trainer.state.world_size = 2
    assert marked(trainer.diagram.svg) == sorted(DECIDING + SCORED)
    assert trainer.diagram.dot.count(MARK) == len(DECIDING + SCORED)
    code = f"#{ord(MARK)};"
    assert trainer.diagram.mermaid.count(code) == len(DECIDING + SCORED)


def test_a_signal_with_a_subscriber_is_followed_by_a_vote():
    trainer = trainer_of()
    trainer.state.world_size = 2
    trainer.on("after_backward")(lambda trainer, state: None)
    closed = [f"fit.epoch.train.batch.{phase}" for phase in ("differentiated", "retry")]
    expected = [*DECIDING, *SCORED, *closed]
    assert marked(trainer.diagram.svg) == sorted(expected)


def test_a_chart_may_have_no_votes_of_its_own():
    chart = dataclasses.replace(SUPERVISED, votes=())
    assert voting_phases(Topology(chart), ()) == DECIDING
