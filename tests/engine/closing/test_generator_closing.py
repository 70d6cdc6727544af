import pytest

from trackside.engine.closing.generator_closing import close_generator


def generator(at_end):
    try:
        yield
    finally:
        at_end()


def test_a_generator_is_closed_in_whatever_state_it_is():
    ended = []
    one = generator(lambda: ended.append("ended"))
    close_generator(one)
    assert list(one) == ended == []
    one = generator(lambda: ended.append("ended"))
    next(one)
    close_generator(one)
    close_generator(one)
    assert ended == ["ended"]


def test_a_generator_may_return_where_it_is_closed():
    def returning():
        try:
            yield
        except GeneratorExit:
            return

    one = returning()
    next(one)
    close_generator(one)
    assert list(one) == []


@pytest.mark.parametrize("kind", [GeneratorExit, KeyboardInterrupt, ValueError])
def test_what_is_raised_meanwhile_leaves_also_where_it_is_a_generator_exit(kind):
    def fail():
        raise kind("of user code")

    one = generator(fail)
    next(one)
    with pytest.raises(kind, match="of user code"):
        close_generator(one)
