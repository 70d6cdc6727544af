"""A study that was made: its table, for a terminal, a spreadsheet, a browser, and Optuna."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from .optuna_export import export_study
from .rich_table import rich_table
from .study_csv import write_study_csv
from .study_page import write_study_page
from .study_result import StudyResult

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH = 100


class Study(StudyResult):
    """What each variation of a factory reached, over seeds; `print(study)` shows the table.

    Attributes: see `StudyResult`.
    """

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=_WIDTH)
        with console.capture() as shown:
            console.print(self)
        return "\n".join(line.rstrip() for line in shown.get().splitlines())

    def __rich__(self) -> RenderableType:
        return rich_table(self)

    def to_csv(self, path: str | Path) -> None:
        """Write the table to a file, a line for each variation, numbers in full."""
        write_study_csv(self, Path(path))

    def to_html(self, path: str | Path) -> None:
        """Write the table, a plot of the differences and the errors to one HTML file."""
        write_study_page(self, Path(path))

    def to_optuna(self, storage: str, maximize: bool = False) -> None:
        """Add the fits as a study to a storage of Optuna, `sqlite:///optuna.db`.

        Raises:
            UsageError: optuna is not installed, or the storage has this study.
        """
        export_study(self, storage, maximize)
