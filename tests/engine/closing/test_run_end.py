import pytest

from trackside.engine.closing.run_end import strongest
from trackside.events import CancelBatchException, CancelFitException

CANCEL, EXIT, ERROR, INTERRUPT = (
    CancelFitException(),
    GeneratorExit(),
    ValueError(),
    KeyboardInterrupt(),
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
        ((SystemExit(), ERROR, CANCEL), None),
        ((CANCEL, EXIT), CANCEL),
        ((EXIT, CANCEL), EXIT),
    ],
)
def test_an_interrupt_outranks_an_error_and_an_error_a_cancel(raised, escapes):
    found = strongest(*raised)
    assert found is escapes or type(found) is SystemExit


def test_of_equals_the_first_one_escapes():
    errors = ValueError(), TypeError()
    assert strongest(*errors) is errors[0]
    assert strongest(CANCEL, CancelBatchException()) is CANCEL
