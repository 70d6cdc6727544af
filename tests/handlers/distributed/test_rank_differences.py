"""What must be equal on all ranks, without processes."""

import pytest

from trackside.handlers.distributed._rank_differences import refuse_differences

FACTS = {"torch": "2.13.0", "run": "fit", "epochs": 3, "handlers": ["Metrics", "EMA"]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"torch": "2.12.1"}, "rank 2 has torch 2.12.1, rank 0 has 2.13.0"),
        ({"run": "validate"}, "rank 2 has run validate, rank 0 has fit"),
        ({"handlers": ["Metrics"]}, r"rank 2 has handlers \['Metrics'\], rank 0 has .*'EMA'"),
    ],
)
def test_a_difference_is_named_with_its_rank(change, text):
    refuse_differences([FACTS, FACTS, FACTS])
    with pytest.raises(RuntimeError, match=text):
        refuse_differences([FACTS, FACTS, FACTS | change])


def test_of_many_differences_three_are_named_and_the_others_counted():
    others = [{**FACTS, "epochs": epochs} for epochs in range(5)]
    with pytest.raises(RuntimeError, match=r"rank 3 has epochs 2.*; and 1 more"):
        refuse_differences([FACTS, *others])
