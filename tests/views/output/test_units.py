import pytest

from trackside.views.output.units import change, duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0"),
        (4e-8, "40.0 ns"),
        (1.234e-6, "1.23 µs"),
        (0.0123, "12.3 ms"),
        (0.456, "456 ms"),
        (1, "1.00 s"),
        (119, "119 s"),
        (200, "3 min 20 s"),
        (7380, "2 h 3 min"),
        (-0.0123, "-12.3 ms"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(2, 3, "+50 %"), (4, 3, "-25 %"), (0, 1, "new"), (1, 0, "gone"), (0, 0, "")],
)
def test_a_change_is_in_percent_of_what_was_before(before, after, said):
    assert change(before, after) == said
