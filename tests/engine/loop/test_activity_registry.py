import pytest

from trackside.engine.loop.activity_registry import ActivityRegistry


def activity(name):
    return lambda state: name


def wrapping(mark):
    return lambda inner: lambda state: f"{mark}({inner(state)})"


REGISTRY = {
    "forward": activity("forward"),
    "train.fetch": activity("fetch"),
    "fetch": activity("f"),
}
PHASES = ("idle", "a.forward", "a.train.fetch", "a.validate.fetch")


@pytest.fixture
def registry():
    return ActivityRegistry(REGISTRY, phases=lambda: PHASES)


def test_the_longest_name_that_ends_the_path_wins(registry):
    assert registry.activity_of("fit.epoch.train.fetch")(None) == "fetch"
    assert registry.activity_of("fit.epoch.validate.fetch")(None) == "f"


def test_a_leaf_named_run_takes_the_activity_of_its_scope():
    registry = ActivityRegistry({"backward": activity("backward")})
    assert registry.activity_of("fit.batch.backward.run")(None) == "backward"


def test_a_leaf_without_an_activity_has_none(registry):
    assert registry.activity_of("completed") is None


def test_the_newest_wrap_is_outermost_and_each_can_be_undone(registry):
    undo = registry.wrap("forward", wrapping("old"))
    registry.wrap("forward", wrapping("new"))
    assert registry.activity_of("a.forward")(None) == "new(old(forward))"
    undo()
    assert registry.activity_of("a.forward")(None) == "new(forward)"


def test_a_wrap_can_name_one_of_several_places(registry):
    registry.wrap("train.fetch", wrapping("w"))
    assert registry.activity_of("a.train.fetch")(None) == "w(fetch)"
    assert registry.activity_of("a.validate.fetch")(None) == "f"


def test_an_outermost_wrap_is_outside_every_other_wrap():
    registry = ActivityRegistry(
        REGISTRY, outermost=[("forward", wrapping("outer"))], phases=lambda: PHASES
    )
    registry.wrap("forward", lambda forward: activity("mine"))
    assert registry.activity_of("a.forward")(None) == "outer(mine)"


def test_wrapping_an_unknown_activity_raises_and_suggests_the_nearest(registry):
    with pytest.raises(ValueError, match=r"no activity 'foward'; did you mean forward\?"):
        registry.wrap("foward", wrapping("w"))


def test_a_wrapper_that_is_no_function_is_refused(registry):
    with pytest.raises(TypeError, match=r"wrap\('forward', 3\): found a int; allowed: a function"):
        registry.wrap("forward", 3)


def test_a_wrapper_that_returns_no_activity_is_named(registry):
    def forgets(forward):
        forward(None)

    registry.wrap("forward", forgets)
    with pytest.raises(TypeError, match="forgets, a wrap of 'forward', returned a NoneType"):
        registry.activity_of("a.forward")


def test_a_wrap_may_name_any_end_of_the_path_of_a_leaf(registry):
    for name in ("fetch", "train.fetch", "a.train.fetch"):
        undo = registry.wrap(name, wrapping(name))
        assert registry.activity_of("a.train.fetch")(None) == f"{name}(fetch)"
        undo()
    with pytest.raises(ValueError, match="activities are forward, fetch"):
        registry.wrap("train.forward", wrapping("w"))


def test_an_activity_that_no_leaf_uses_cannot_be_wrapped():
    registry = ActivityRegistry({**REGISTRY, "step": activity("step")}, phases=lambda: PHASES)
    with pytest.raises(ValueError, match="no activity 'step'"):
        registry.wrap("step", wrapping("w"))
