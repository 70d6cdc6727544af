import string

import pytest
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from trackside.engine.layout.text_metrics import text_width


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_no_ascii_character_of_dejavu_sans_is_wider_than_its_bound(weight):
    font = FT2Font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
    font.set_size(100, 72)
    for letter in string.ascii_letters + string.digits + string.punctuation + " ×·→…":
        width = font.load_char(ord(letter)).linearHoriAdvance / 65536 / 100
        assert width <= text_width(letter, 1, weight == "bold"), letter


def test_characters_of_other_scripts_count_as_wide():
    assert text_width("訓練", 10) >= 20
