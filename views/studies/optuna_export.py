"""Add the fits of a study to a storage of Optuna, which `optuna-dashboard` shows."""

from __future__ import annotations

from typing import Any

from ...events.utils.exception_text import first_message_line
from ..output.usage_error import UsageError
from .study_file import KeptTrial
from .study_result import StudyResult
from .variation import Variation


def export_study(study: StudyResult, storage: str, maximize: bool) -> None:
    """Create a study there, `module:factory valid_loss`, with all fits that were made.

    Its parameters are the arguments, or the variation, and the seed; the values of the epochs are
    intermediate values.

    Raises:
        UsageError: optuna is not installed, or the storage has this study, or cannot be opened or
            written; then no part of the study is left there.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise UsageError("the export to Optuna needs it: pip install optuna") from None
    choices = _choices(study)
    trials = [
        _frozen(optuna, study, choices, variation, seed, trial)
        for (variation, seed), trial in study.trials.items()
        if trial.outcome is not None
    ]
    try:
        exported = optuna.create_study(
            storage=storage,
            study_name=f"{study.factory} {study.metric}",
            direction="maximize" if maximize else "minimize",
        )
        try:
            exported.add_trials(trials)
        except BaseException:
            optuna.delete_study(study_name=exported.study_name, storage=storage)
            raise
    except Exception as error:
        raise UsageError(f"cannot export to {storage}: {first_message_line(error)}") from None


def _choices(study: StudyResult) -> dict[str, list[Any]]:
    """The values of each parameter, in their order."""
    found: dict[str, list[Any]] = {}
    for variation, seed in study.trials:
        for name, value in _parameters(variation, seed).items():
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return found


def _parameters(variation: Variation, seed: int) -> dict[str, Any]:
    arguments = dict(variation.arguments) or {"variation": variation.label}
    return {**arguments, "seed": seed}


def _frozen(
    optuna: Any,
    study: StudyResult,
    choices: dict[str, list[Any]],
    variation: Variation,
    seed: int,
    trial: KeptTrial,
) -> Any:
    value = trial.value(study.metric)
    values = {
        row["epoch"]: row[study.metric]
        for row in trial.rows
        if isinstance(row.get(study.metric), (int, float))
    }
    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        state=states.FAIL if value is None else states.COMPLETE,
        value=value,
        params=_parameters(variation, seed),
        distributions={
            name: optuna.distributions.CategoricalDistribution(choices[name])
            for name in _parameters(variation, seed)
        },
        user_attrs={"outcome": trial.outcome, "reason": trial.reason, "seconds": trial.seconds},
        intermediate_values=values,
    )
