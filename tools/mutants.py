"""The mutants of a module: one small change of its source each, by cosmic-ray's operators."""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, search_ancestor
from parso.python.tree import Operator as ParsoOperator

COMPARISONS = {
    "Eq": ["NotEq"],
    "NotEq": ["Eq"],
    "Lt": ["LtE", "GtE"],
    "LtE": ["Lt", "Gt"],
    "Gt": ["GtE", "LtE"],
    "GtE": ["Gt", "Lt"],
    "Is": ["IsNot"],
    "IsNot": ["Is"],
}
NAMES = [
    *(f"ReplaceComparisonOperator_{a}_{b}" for a, others in COMPARISONS.items() for b in others),
    *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
    *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
]
NOT_FOR_RUNNING = ("TYPE_CHECKING", "@overload", "@runtime_checkable", "@abstractmethod")
PROTOCOL = "Protocol"  # a class that is never run
# guards against misuse, and `*` in a signature: that of a public one is in tests/public_surface.txt
GUARDS = re.compile(r"\b(strict|frozen|slots)=(True|False)|(?:^|(?<=[(\s]))[*/](?=,)")


class _Described(Operator):  # type: ignore[misc]  # cosmic-ray is not typed
    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class DeletedStatement(_Described):
    """Replaces a statement in a function by `pass`: a call, an assignment, a raise, a del."""

    KINDS = ("expr_stmt", "atom_expr", "raise_stmt", "del_stmt", "await")

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        # outside a function every import would fail: such a mutant says nothing
        is_statement = node.parent and node.parent.type == "simple_stmt"
        if node.type in self.KINDS and is_statement and search_ancestor(node, "funcdef"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)


class ReturnedNothing(_Described):
    """Replaces what is returned by `None`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "return_stmt" and node.children[1].get_code() != " None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1:] = [Keyword("None", node.end_pos, " ")]
        return node


class NegatedMembership(_Described):
    """Replaces `in` of a comparison by `not in`, and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "comparison" and node.children[1].get_code().strip() in ("in", "not in"):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        operator = node.children[1]
        other = "in" if operator.get_code().strip() == "not in" else "not in"
        node.children[1] = ParsoOperator(other, operator.start_pos, " ")
        return node


@dataclass(frozen=True)
class Mutant:
    """A module with one change: where it is, the line as it was and as it is in the mutant.

    `key` holds no number of a line, so that it stays when lines above are added.
    """

    path: str
    line: int
    scope: str
    was: str
    becomes: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.path, self.scope, self.was, self.becomes


def _operators() -> list[Any]:
    cosmic_ray = [get_operator(f"core/{name}")() for name in NAMES]
    return [*cosmic_ray, DeletedStatement(), ReturnedNothing(), NegatedMembership()]


def _scopes(source: str) -> list[tuple[int, int, str]]:
    found = []

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                bases = [ast.unparse(base) for base in getattr(child, "bases", [])]
                inner = PROTOCOL if PROTOCOL in bases else f"{name}.{child.name}".lstrip(".")
                found.append((child.lineno, child.end_lineno or child.lineno, inner))
            visit(child, inner)

    visit(ast.parse(source), "")
    return found


def _scope_of(line: int, scopes: list[tuple[int, int, str]]) -> str:
    holding = [(first, name) for first, last, name in scopes if first <= line <= last]
    return max(holding)[1] if holding else ""


def _change(source: str, mutated: str) -> tuple[int, str, str] | None:
    """Line from 1, and text before and after, of the first line that differs."""
    before, after = source.splitlines(), mutated.splitlines()
    is_shorter = len(after) < len(before)  # a decorator was removed, with the blank line above
    for number, (was, becomes) in enumerate(itertools.zip_longest(before, after, fillvalue=""), 1):
        if was != becomes and was.strip():
            return number, was.strip(), "" if is_shorter else becomes.strip()
    return None


def _offsets(source: str) -> list[int]:
    """Where each line starts; parso counts lines from 1."""
    lengths = map(len, source.splitlines(keepends=True))
    return [0, *itertools.accumulate(lengths, initial=0)]


def _mutated(source: str, operator: Any, node: Any, index: int) -> str:
    """The source with one node changed; the tree stays as it is, so that it is parsed once."""
    parent, node.parent = node.parent, None
    changed = copy.deepcopy(node)
    node.parent = changed.parent = parent
    changed = operator.mutate(changed, index)
    starts = _offsets(source)
    (line, column), (last, end) = node.get_start_pos_of_prefix(), node.end_pos
    text = changed.get_code() if changed else ""
    return source[: starts[line] + column] + text + source[starts[last] + end :]


def mutants_of(root: Path, path: str) -> list[Mutant]:
    """Every mutant of a module that still compiles, in the order of lines."""
    source = (root / path).read_text()
    scopes, nodes = _scopes(source), list(ast_nodes(get_ast(source)))
    found: dict[tuple[str, str, str, str, int], Mutant] = {}
    for operator, node in itertools.product(_operators(), nodes):
        for index, _ in enumerate(list(operator.mutation_positions(node))):
            mutated = _mutated(source, operator, node, index)
            change = _change(source, mutated)
            if not change or any(word in change[1] for word in NOT_FOR_RUNNING):
                continue
            line, was, becomes = change
            if GUARDS.sub("", was) == GUARDS.sub("", becomes):
                continue
            scope = _scope_of(line, scopes)
            if scope.startswith(PROTOCOL) or not _compiles(mutated, path):
                continue
            mutant = Mutant(path, line, scope, was, becomes, mutated)
            found.setdefault((*mutant.key, line), mutant)
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.becomes))


def _compiles(source: str, path: str) -> bool:
    try:
        compile(source, path, "exec")
    except SyntaxError:
        return False
    return True
