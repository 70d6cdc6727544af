"""Run a study: `ablate` and the steps of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast

from ...events.reported_metrics import missing_metric
from ...events.utils.argument_checks import check_whole_number
from ..jobs.import_target import target_of
from ..output.usage_error import UsageError
from .paired_interval import require_scipy
from .probed_job import ProbedJob
from .study import Study
from .study_file import StudyFile
from .trial_result import Result, Trial
from .variation import Plan, Variation, each_fit, missing_requirement, removals, settings
from .worker_pool import WorkerPool

PATH = "runs/study.db"
SEEDS = (0, 1, 2)
METRIC = "valid_loss"


def ablate(
    factory: Callable[..., Any] | str,
    handlers: Collection[str] | None = None,
    *,
    metric: str = METRIC,
    seeds: Sequence[int] = SEEDS,
    alone: bool = False,
    pairs: bool = False,
    vary: Mapping[str, Sequence[Any]] | None = None,
    epochs: int | None = None,
    jobs: int = 1,
    path: str | Path = PATH,
) -> Study:
    """Fit with all handlers, and without each one, over seeds; compare a metric.

    All fits have the same data in the same order, and, with the same seed, the same first weights.
    Each is made in a process of its own; one that fails is a line of the result. The file keeps
    what was made: called again, it makes only what is missing or failed. See docs/ablation.md.

    Args:
        factory: returns the Job, as for `trackside fit`: a top-level function of a module or
            script, or its target, `module:factory` or `path/to/file.py:factory`. A parameter `seed`
            gets the seed.
        handlers: names of those to remove, as classes are named, a second one `EMA-2`; None: all
            but those that only measure or write.
        metric: the last value that is reported in a fit is compared.
        seeds: a fit of each variation for each one; differences are paired by them.
        alone: also each handler alone.
        pairs: also without each two.
        vary: in place of removing handlers, call the factory with these values of its parameters,
            in all combinations; the first is the one that others are compared with.
        epochs: None: those of the job.
        jobs: fits at the same time.
        path: the file of the study, SQLite.

    Raises:
        TypeError, ValueError: an argument is wrong.
        UsageError: the factory cannot be imported or called twice, has no such handler or
            parameter, reports no such metric; the file is of another study; scipy is not installed.
    """
    asked = Asked(handlers, metric, tuple(seeds), alone, pairs, dict(vary or {}), epochs, jobs)
    check(asked)
    target = factory if isinstance(factory, str) else target_of(factory)
    with WorkerPool(target, jobs) as pool, StudyRun(pool, asked, path) as run:
        for _ in run.fits():
            pass
        return run.study()


class Asked(NamedTuple):
    """The arguments of `ablate`."""

    handlers: Collection[str] | None
    metric: str
    seeds: tuple[int, ...]
    alone: bool
    pairs: bool
    vary: Mapping[str, Sequence[Any]]
    epochs: int | None
    jobs: int


def check(asked: Asked) -> None:
    """Refuse what is wrong without a look at the factory.

    Raises:
        TypeError, ValueError: what was tried, and what is allowed.
        UsageError: scipy is not installed.
    """
    tried = f"ablate(seeds={asked.seeds})"
    for seed in asked.seeds:
        check_whole_number(tried, seed, least=0)
    twice = [seed for seed in asked.seeds if asked.seeds.count(seed) > 1]
    if twice or not asked.seeds:
        found = f"{twice[0]} is there twice" if twice else "there is none"
        raise ValueError(f"{tried}: {found}; allowed: different ints, at least one")
    check_whole_number(f"ablate(jobs={asked.jobs!r})", asked.jobs, least=1)
    if asked.epochs is not None:
        check_whole_number(f"ablate(epochs={asked.epochs!r})", asked.epochs, least=1)
    if asked.vary:
        _check_vary(asked)
    require_scipy()


def _check_vary(asked: Asked) -> None:
    if asked.handlers is not None or asked.alone or asked.pairs:
        raise ValueError(
            "ablate(vary=…) with handlers, alone or pairs: allowed: one of both; fits with other "
            "arguments keep all handlers"
        )
    for name, values in asked.vary.items():
        tried = f"ablate(vary={{{name!r}: {values!r}}})"
        if name == "seed":
            raise ValueError(f"{tried}: allowed: other parameters; the seeds are seeds=…")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise TypeError(f"{tried}: allowed: a sequence of values")
        for value in values:
            if not isinstance(value, (str, bool, int, float)) and value is not None:
                raise TypeError(f"{tried}: allowed: values of type str, bool, int, float, or None")
            if values.count(value) > 1:
                raise ValueError(f"{tried}: {value!r} is there twice; allowed: different values")


class StudyRun:
    """A study that is being made; a context, in which its file is open.

    Raises: as `ablate`.
    """

    def __init__(self, pool: WorkerPool, asked: Asked, path: str | Path) -> None:
        self.asked = asked
        self._pool = pool
        job = self._probe()
        self.plan = _plan(job, asked)
        self._file = StudyFile(Path(path), pool.target, asked.epochs, job.handlers)

    def __enter__(self) -> StudyRun:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def fits(self) -> Iterator[tuple[Variation, int, Result]]:
        """Make the fits that are missing; yield each when it is kept.

        Raises:
            UsageError: a fit with all handlers reports no such metric.
        """
        wanted = {_trial(v, seed): (v, seed) for v, seed in each_fit(self.plan, self.asked.seeds)}
        with self._file.claimed():
            self._file.add([*wanted])
            missing = self._file.open_trials([*wanted])
            self._check_metric({*wanted} - {*missing})
            answers = self._pool.answers((trial, self._request(trial)) for trial in missing)
            with closing(answers):
                for trial, answer in answers:
                    result = _result(answer)
                    variation, seed = wanted[trial]
                    if result["is_missing_metric"] and variation == self.plan.variations[0]:
                        raise UsageError(
                            f"the study compares {self.asked.metric!r}: {result['reason']}"
                        )
                    self._file.write(trial, result)
                    yield variation, seed, result

    def study(self) -> Study:
        """The table of what was made until now."""
        kept = {
            (variation, seed): self._file.read(_trial(variation, seed))
            for variation, seed in each_fit(self.plan, self.asked.seeds)
        }
        asked = self.asked
        return Study(self._pool.target, asked.metric, asked.seeds, kept, self.plan.notes)

    def _check_metric(self, made: Collection[Trial]) -> None:
        """Refuse a metric that no fit has reported, of those made for another one."""
        rows = [row for trial in made for row in self._file.read(trial).rows]
        known = [*dict.fromkeys(name for row in rows for name in row)]
        if rows and self.asked.metric not in known:
            raise UsageError(
                missing_metric("the study", self.asked.metric, known, rows[-1]["epoch"])
            )

    def _probe(self) -> ProbedJob:
        arguments = {name: values[0] for name, values in self.asked.vary.items()}
        answer = self._pool.ask(
            {"probe": True, "seed": self.asked.seeds[0], "arguments": arguments}
        )
        if "refused" in answer:
            raise UsageError(answer["refused"])
        if "died" in answer:
            raise UsageError(f"calling {self._pool.target} ended its process: {answer['died']}")
        return ProbedJob(**answer)

    def _request(self, trial: Trial) -> dict[str, Any]:
        return {"trial": trial, "metric": self.asked.metric, "epochs": self.asked.epochs}


def _plan(job: ProbedJob, asked: Asked) -> Plan:
    problem = missing_requirement(job)
    if problem is not None:
        raise UsageError(f"{problem}, which the trainer does not have")
    if asked.vary:
        return settings(asked.vary)
    return removals(job, asked.handlers, asked.alone, asked.pairs)


def _trial(variation: Variation, seed: int) -> Trial:
    return Trial(variation.without, variation.arguments, seed)


def _result(answer: dict[str, Any]) -> Result:
    if "died" in answer:
        reason = f"its process died twice: {answer['died']}"
        return Result(outcome="failed", reason=reason, error="", is_missing_metric=False)
    return cast("Result", answer)
