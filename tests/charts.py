"""Charts for tests: the supplied ones, four written by hand, and random ones."""

import functools
import itertools
import random

from trackside.engine import EVALUATION, SUPERVISED, Topology

RESTING = ("idle", "completed", "cancelled", "failed")
SCOPES = ("fit", "epoch", "train", "validate", "batch", "generator", "backward", "step", "round")
LEAVES = ("ready", "fetch", "forward", "loss", "scored", "run", "a", "rather_long_named", "done")
TRIGGERS = ("after_pred", "after_loss", "go", "again", "a_trigger_with_a_long_name", "skip")

GAN = (
    ("begin_fit", RESTING, "fit.ready"),
    ("begin_epoch", "fit.ready", "fit.epoch.fetch"),
    ("begin_batch", "fit.epoch.fetch", "fit.epoch.batch.sample"),
    ("begin_discriminator", "fit.epoch.batch.sample", "fit.epoch.batch.discriminator.real"),
    ("after_real", "fit.epoch.batch.discriminator.real", "fit.epoch.batch.discriminator.fake"),
    ("after_fake", "fit.epoch.batch.discriminator.fake", "fit.epoch.batch.discriminator.backward"),
    (
        "after_backward",
        "fit.epoch.batch.discriminator.backward",
        "fit.epoch.batch.discriminator.step",
    ),
    ("after_discriminator", "fit.epoch.batch.discriminator", "fit.epoch.batch.judged"),
    ("another_round", "fit.epoch.batch.judged", "fit.epoch.batch.sample"),
    ("begin_generator", "fit.epoch.batch.judged", "fit.epoch.batch.generator.fake"),
    ("after_fake", "fit.epoch.batch.generator.fake", "fit.epoch.batch.generator.backward"),
    ("after_backward", "fit.epoch.batch.generator.backward", "fit.epoch.batch.generator.step"),
    ("after_generator", "fit.epoch.batch.generator", "fit.epoch.batch.done"),
    ("after_batch", "fit.epoch.batch", "fit.epoch.fetch"),
    ("after_epoch", "fit.epoch", "fit.ready"),
    (
        "after_cancel_discriminator",
        "fit.epoch.batch.discriminator",
        "fit.epoch.batch.discriminator.cancelled",
    ),
    ("after_cancel_generator", "fit.epoch.batch.generator", "fit.epoch.batch.generator.cancelled"),
    ("after_cancel_batch", "fit.epoch.batch", "fit.epoch.batch.cancelled"),
    ("after_cancel_epoch", "fit.epoch", "fit.epoch.cancelled"),
    ("after_cancel_fit", "fit", "fit.cancelled"),
    ("after_error", "fit", "fit.failing"),
    ("after_error", ("completed", "cancelled"), "failed"),
    ("after_fit", "fit.ready", "completed"),
    ("after_fit", "fit.cancelled", "cancelled"),
    ("after_fit", "fit.failing", "failed"),
)
"""A GAN: a batch is several rounds of the discriminator, then a step of the generator."""


def work_left_from(phases):
    """The least that an engine can run; a cancel and an error lead out of `phases`."""
    return (
        ("begin_work", ("idle", "completed", "cancelled", "failed"), "work.run"),
        ("after_cancel_work", phases, "work.cancelled"),
        ("after_error", phases, "work.failing"),
        ("after_work", "work.run", "completed"),
        ("after_work", "work.cancelled", "cancelled"),
        ("after_work", "work.failing", "failed"),
    )


WORK = work_left_from("work")

HELD_INSIDE = (
    ("begin_work", RESTING, "work.ready"),
    ("begin_inner", "work.ready", "work.inner.run"),
    ("after_run", "work.inner.run", "work.inner.judge"),
    ("after_judge", "work.inner.judge", "work.inner.end"),
    ("after_inner", "work.inner", "work.ready"),
    ("after_cancel_inner", "work.inner", "work.inner.cancelled"),
    ("after_error", "work.inner.end", "work.failing"),
    ("after_cancel_work", "work", "work.cancelled"),
    ("after_error", "work", "work.failing"),
    ("after_work", "work.ready", "completed"),
    ("after_work", "work.cancelled", "cancelled"),
    ("after_work", "work.failing", "failed"),
)
"""An error leads out of the end of the inner scope: where it leads stands at that height."""

FOLDED = (
    ("begin_work", RESTING, "work.ready"),
    ("begin_a", "work.ready", "work.a.p0"),
    *((f"go_{n}", f"work.a.p{n}", f"work.a.p{n + 1}") for n in range(40)),
    ("after_a", "work.a", "work.between"),
    ("begin_b", "work.between", "work.b.p0"),
    *((f"go_{n}", f"work.b.p{n}", f"work.b.p{n + 1}") for n in range(40)),
    ("after_b", "work.b", "work.done"),
    ("skip", "work", "work.done"),
    ("after_cancel_a", "work.a", "work.a.cancelled"),
    ("after_cancel_b", "work.b", "work.b.cancelled"),
    ("after_cancel_work", "work", "work.cancelled"),
    ("after_error", "work", "work.failing"),
    ("after_error", "work.done", "work.failing"),
    ("after_work", "work.done", "completed"),
    ("after_work", "work.cancelled", "cancelled"),
    ("after_work", "work.failing", "failed"),
)
"""So tall that it is drawn in two columns, with a way from the outer box into the second one."""

ODD = (
    ("begin_a b", ("idle", 'say "hi"', "x<y", "failed"), "a b.訓練"),
    ("<script>alert(1)</script>", "a b.訓練", "a b.訓-練"),
    ('a\\b: --> %% ; "', "a b.訓-練", "a b.訓_練"),
    ("after_cancel_a b", "a b", "a b.end"),
    ("after_error", "a b", "a b.failing"),
    ("after_a b", "a b.訓練", 'say "hi"'),
    ("after_a b", "a b.end", "x<y"),
    ("after_a b", "a b.failing", "failed"),
    ("again", "a b.訓_練", "a b.訓_練"),
    ("o\x00n", "a b.訓_練", "a b.訓練"),
)
"""A chart with names that need escaping."""


@functools.cache
def topologies(seeds):
    """Topologies by name: those of the charts above, and of a random chart for each seed."""
    charts = {"supervised": SUPERVISED, "evaluation": EVALUATION, "gan": GAN, "odd": ODD}
    charts |= {"held inside": HELD_INSIDE, "folded": FOLDED}
    charts |= {f"seed {seed}": random_chart(seed) for seed in range(seeds)}
    return {name: Topology(chart) for name, chart in charts.items()}


def random_chart(seed):
    """A chart of one or two outermost scopes, nested up to four deep; reproducible by its seed."""
    return _ChartBuilder(random.Random(seed)).build()


class _ChartBuilder:
    def __init__(self, rng):
        self.rng = rng
        self.rows = []
        self.leaves = []

    def build(self):
        names = self.rng.sample(SCOPES, self.rng.choice((1, 1, 1, 2)))
        for name in names:
            self.add_outermost(name)
        for _ in range(self.rng.randint(0, 8)):
            self.add_extra_row()
        return tuple(self.rows)

    def add_outermost(self, name):
        entry = self.add_scope(name, 1)
        self.rows.insert(0, (f"begin_{name}", RESTING, entry))
        self.rows += [
            ("after_error", name, f"{name}.failing"),
            ("after_error", ("completed", "cancelled"), "failed"),
            (f"after_{name}", entry, "completed"),
            (f"after_{name}", f"{name}.cancelled", "cancelled"),
            (f"after_{name}", f"{name}.failing", "failed"),
        ]

    def add_scope(self, path, depth):
        """Add the rows of a scope and of everything inside it; return its first leaf."""
        name = path.rpartition(".")[2]
        names = self.rng.sample(LEAVES, self.rng.randint(1, 5))
        leaves = [f"{path}.{leaf}" for leaf in names]
        self.leaves += leaves
        if depth == 1 or self.rng.random() < 0.9:
            self.rows.append((f"after_cancel_{name}", path, f"{path}.cancelled"))
        else:
            self.rows.append((f"after_cancel_{name}", path, leaves[0]))
        for here, there in itertools.pairwise(leaves):
            self.connect(path, here, there, depth)
        if depth < 4 and self.rng.random() < 0.3:
            self.connect(path, leaves[-1], leaves[0], depth)
        return leaves[0]

    def connect(self, path, here, there, depth):
        """Add a row between two leaves of a scope, or an inner scope between them."""
        if depth < 4 and self.rng.random() < 0.4:
            name = self.rng.choice(SCOPES)
            inner = f"{path}.{name}"
            if name not in path.split(".") and not any(inner in row[2] for row in self.rows):
                entry = self.add_scope(inner, depth + 1)
                self.rows.append((f"begin_{name}", here, entry))
                self.rows.append((f"after_{name}", inner, there))
                return
        self.rows.append((self.rng.choice(TRIGGERS), here, there))

    def add_extra_row(self):
        """Add a row from anywhere inside a scope to a leaf of that scope, or to a resting phase."""
        there = self.rng.choice([*self.leaves, "completed", "failed"])
        around = there.rpartition(".")[0]
        within = [leaf for leaf in self.leaves if leaf.startswith(around)]
        kind = self.rng.random()
        if kind < 0.2 and around:
            sources = (around,)
        else:
            sources = tuple(self.rng.sample(within, min(len(within), self.rng.choice((1, 1, 2)))))
        trigger = self.rng.choice((*TRIGGERS, "after_cancel_other"))
        self.rows.append((trigger, sources if len(sources) > 1 else sources[0], there))
