import pytest

from trackside.views.output.units import format_change, format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (4e-8, "40.0 ns"),
        (1.234e-6, "1.23 µs"),
        (0.0123, "12.3 ms"),
        (0.456, "456 ms"),
        (9.996e-3, "10.0 ms"),
        (99.96e-6, "100 µs"),
        (999.6e-6, "1.00 ms"),
        (1, "1.00 s"),
        (119, "119 s"),
        (200, "3 min 20 s"),
        (7380, "2 h 3 min"),
        (-0.0123, "-12.3 ms"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [(2, 3, "+50 %"), (4, 3, "-25 %"), (0, 1, "new"), (1, 0, "gone"), (0, 0, "")],
)
def test_a_change_is_in_percent_of_the_earlier_value(before, after, text):
    assert format_change(before, after) == text
