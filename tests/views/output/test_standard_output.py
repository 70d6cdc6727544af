"""Characters that standard output cannot have."""

import io
from contextlib import redirect_stdout

import pytest

from trackside.views.output.standard_output import checked_output


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "12 µs → 3 × ▁█ 雪"),
        ("ascii", "12 us -> 3 x _# ?"),
        ("latin-1", "12 us -> 3 x _# ?"),
    ],
)
def test_a_character_that_the_output_has_not_is_replaced_by_one_that_looks_like_it(encoding, shown):
    raw = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(raw, encoding=encoding)) as output, checked_output():
        print("12 µs → 3 × ▁█ 雪")
    output.flush()
    assert raw.getvalue().decode(encoding) == f"{shown}\n"
