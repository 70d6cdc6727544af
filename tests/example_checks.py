"""What the tests of the examples of loops share: their length, and a fit with all around it."""

import ast
import inspect
import io
import textwrap
from pathlib import Path

import torch

from trackside.engine import latest, read_checkpoint
from trackside.handlers import Checkpoint, History, Metrics, ProgressBar, Recorder
from trackside.views import Recording
from trackside.views.recordings.totals import totals


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


def fit_with_all_around(todo, folder: Path, **limits):
    """Fit with progress bar, metrics, history, checkpoint and recorder; check that each has worked.

    Returns the rows of the history.
    """
    bar, history = io.StringIO(), History()
    around = [history, ProgressBar(bar, mininterval=0), Checkpoint(folder / "checkpoints", steps=2)]
    if not any(isinstance(handler, Metrics) for handler in todo.trainer.handlers):
        around.insert(0, Metrics())
    for handler in (*around, Recorder(folder / "run.loop", scalars=1)):
        todo.trainer.attach(handler)
    state = todo.trainer.fit(todo.train_loader, todo.valid_loader, **limits)
    assert state.outcome == "completed"
    assert "epoch" in bar.getvalue()
    assert read_checkpoint(latest(folder / "checkpoints"))["position"]["step"] > 0
    with Recording(folder / "run.loop") as recording:
        assert totals(recording).transitions
    return history.rows


def energy_distance(ours, theirs):
    """Of two samples `(N, D)` and `(M, D)`; 0 where they come from one distribution.

    Source: Gábor Székely, Maria Rizzo, "Testing for equal distributions in high dimension", 2004
    """
    within = torch.cdist(ours, ours).mean() + torch.cdist(theirs, theirs).mean()
    return (2 * torch.cdist(ours, theirs).mean() - within).item()
