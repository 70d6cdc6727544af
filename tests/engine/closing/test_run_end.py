import pytest

from trackside.engine.closing.run_end import strongest
from trackside.events import CancelBatchException, CancelFitException

CANCEL, EXIT, ERROR, INTERRUPT, QUIT = (
    CancelFitException(),
    GeneratorExit(),
    ValueError(),
    KeyboardInterrupt(),
    SystemExit(),
)


@pytest.mark.parametrize(
    ("raised", "escapes"),
    [
        ((), None),
        ((None, None), None),
        ((None, CANCEL), CANCEL),
        ((CANCEL, ERROR), ERROR),
        ((EXIT, ERROR), ERROR),
        ((ERROR, INTERRUPT), INTERRUPT),
        ((QUIT, ERROR, CANCEL), QUIT),
        ((CANCEL, EXIT), CANCEL),
        ((EXIT, CANCEL), EXIT),
    ],
)
def test_an_interrupt_outranks_an_error_and_an_error_a_cancel(raised, escapes):
    assert strongest(*raised) is escapes


def test_of_equals_the_first_one_escapes():
    errors = ValueError(), TypeError()
    assert strongest(*errors) is errors[0]
    assert strongest(CANCEL, CancelBatchException()) is CANCEL
