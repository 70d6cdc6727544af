import pytest

from trackside.engine.summary.model_summary import format_bytes


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_500_000, "1.5 MB"), (2 * 10**12, "2e+03 GB")],
)
def test_bytes_have_a_unit_up_to_gb(size, text):
    assert format_bytes(size) == text
