"""What the tests of the examples of loops share: their length, and a fit with all around it."""

import ast
import inspect
import io
import textwrap
from pathlib import Path

import torch

from trackside.handlers import Checkpoint, History, Metrics, ProgressBar, Recorder
from trackside.views import Recording
from trackside.views.recordings.totals import totals
from trackside.views.verify.state_diff import fingerprints, first_difference


def code_lines(source, *left_out):
    """The lines of code of a module or function, without imports, docstrings and comments.

    Nets (classes derived from Module) are not counted, nor the functions, classes and constants
    `left_out`, which both programs use.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(source)))
    lines = set()
    for node in _counted(tree, left_out):
        lines.update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def _counted(tree, left_out):
    """Statements, and headers of blocks."""
    for node in ast.iter_child_nodes(tree):
        if _name(node) in left_out or _is_net(node) or _is_text(node):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if hasattr(node, "body") and isinstance(node.body, list):
            yield ast.Pass(lineno=node.lineno, end_lineno=max(node.body[0].lineno - 1, node.lineno))
            yield from _counted(node, left_out)
        elif isinstance(node, ast.stmt):
            yield node


def _name(node):
    """The name of a function or class, or the first one that is assigned."""
    if isinstance(node, ast.Assign):
        return next(n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name))
    return getattr(node, "name", None)


def _is_net(node):
    return isinstance(node, ast.ClassDef) and any("Module" in ast.unparse(b) for b in node.bases)


def _is_text(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def fit_with_all_around(make, folder: Path, **limits):
    """Fit with progress bar, metrics, history, checkpoint and recorder; check that each has worked.

    Then a fit of the same job, made anew, resumes from the first checkpoint; it must be equal.
    Returns the rows of the history.
    """
    todo, history, bar = _surrounded(make, folder / "first")
    todo.trainer.attach(Recorder(folder / "run.loop", scalars=1))
    state = todo.trainer.fit(todo.train_loader, todo.valid_loader, **limits)
    assert state.outcome == "completed"
    assert state.metrics.keys() & {*bar.getvalue().replace("=", " ").split()}
    assert state.metrics.keys() <= {name for row in history.rows for name in row}
    with Recording(folder / "run.loop") as recording:
        assert totals(recording).transitions
        assert {scalar.name for scalar in recording.scalars()} >= {*state.metrics}
    assert todo.trainer.diagram.svg.startswith("<svg")
    first = min((folder / "first").glob("step-*"))
    again, history_again, _ = _surrounded(make, folder / "second")
    again.trainer.fit(again.train_loader, again.valid_loader, resume=first)
    assert history_again.rows == history.rows
    assert first_difference(*(fingerprints(t.trainer.state_dict()) for t in (todo, again))) == ""
    return history.rows


def _surrounded(make, folder):
    """A job with handlers around it; the history, and the stream of the bar."""
    todo, bar = make(), io.StringIO()
    for kind in (Metrics, History):
        if not any(isinstance(handler, kind) for handler in todo.trainer.handlers):
            todo.trainer.attach(kind())
    todo.trainer.attach(ProgressBar(bar, mininterval=0))
    todo.trainer.attach(Checkpoint(folder, steps=2, keep_last=None))
    (history,) = (h for h in todo.trainer.handlers if isinstance(h, History))
    return todo, history, bar


def energy_distance(ours, theirs):
    """Of two samples `(N, D)` and `(M, D)`; 0 where they come from one distribution.

    Source: Gábor Székely, Maria Rizzo, "Testing for equal distributions in high dimension", 2004
    """
    within = torch.cdist(ours, ours).mean() + torch.cdist(theirs, theirs).mean()
    return (2 * torch.cdist(ours, theirs).mean() - within).item()
