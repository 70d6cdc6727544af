import pytest

from trackside.events.utils.byte_size import format_bytes


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_900, "1 MB"),
        (2.5e9, "2.5 GB"),
        (7e16, "7e+04 TB"),
    ],
)
def test_a_size_has_at_most_three_digits_and_its_unit(size, text):
    assert format_bytes(size) == text
