import weakref

import pytest
from strange import REFUSING, Closed, Frozen, FrozenCancel

from trackside.events.utils.exact_context import exact_context


@exact_context
def noting(seen, swallowed=()):
    seen.append("begin")
    try:
        yield len(seen)
    except swallowed:
        seen.append("swallowed")
    finally:
        seen.append("end")


def test_the_rest_of_the_generator_runs_when_the_block_ends():
    seen = []
    with noting(seen) as entered:
        seen.append("block")
    assert (entered, seen) == (1, ["begin", "block", "end"])


@pytest.mark.parametrize(
    "kind", [*REFUSING, Closed, FrozenCancel, StopIteration, GeneratorExit, RuntimeError]
)
def test_what_is_raised_in_the_block_leaves_it_as_it_is(kind):
    error, seen, caught = kind("no"), [], None
    try:
        with noting(seen):
            raise error
    except BaseException as raised:
        caught = raised
    assert caught is error
    assert seen == ["begin", "end"]


def test_an_exception_that_the_generator_catches_does_not_leave_the_block():
    seen = []
    with noting(seen, swallowed=Frozen):
        raise Frozen("no")
    assert seen == ["begin", "swallowed", "end"]


def test_an_exception_that_the_generator_raises_leaves_the_block():
    @exact_context
    def failing():
        try:
            yield
        finally:
            raise OSError("its own")

    with pytest.raises(OSError, match="its own") as caught, failing():
        raise Frozen("no")
    assert isinstance(caught.value.__context__, Frozen)


def test_a_runtime_error_that_the_generator_raises_from_another_one_leaves_the_block():
    @exact_context
    def explaining():
        try:
            yield
        except OSError as error:
            raise RuntimeError("its own") from error

    with pytest.raises(RuntimeError, match="its own"), explaining():
        raise OSError("no")


def test_an_error_that_passed_through_is_freed_at_once():
    class Failure(Exception):
        pass

    try:
        with noting([]):
            raise Failure
    except Failure as error:
        kept = weakref.ref(error)
    assert kept() is None
