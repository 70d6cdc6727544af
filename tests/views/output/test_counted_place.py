import pytest

from trackside.views.output.counted_place import counted_place


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((3, 57, 40, 60), "epoch 4 of 40, batch 58 of 60"),
        ((0, 0), "epoch 1, batch 1"),
        ((0, -1), "epoch 1"),
        ((0, None), "epoch 1"),
        ((0, 0, None, 0), "epoch 1, batch 1"),
        ((-1, -1), ""),
    ],
)
def test_a_position_is_counted_from_1_and_has_only_what_has_begun(numbers, text):
    assert counted_place(*numbers) == text
