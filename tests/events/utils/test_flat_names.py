from trackside.events.utils.flat_names import flat_names


def test_nested_values_have_joined_names():
    assert flat_names({"git": {"commit": "a", "at": {"h": 1}}, "n": 2}) == {
        "git.commit": "a",
        "git.at.h": 1,
        "n": 2,
    }


def test_what_is_none_or_empty_is_left_out_and_false_and_0_are_kept():
    values = {"none": None, "list": [], "text": "", "no": False, "zero": 0}
    assert flat_names(values) == {"no": False, "zero": 0}


def test_a_list_becomes_one_text():
    assert flat_names({"command": ["fit.py", 3]}) == {"command": "fit.py 3"}
