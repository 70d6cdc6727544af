import pytest

from trackside.events.utils.argument_checks import check_no_class, check_whole_number


def test_a_class_in_place_of_an_instance_is_refused_with_what_was_forgotten():
    with pytest.raises(TypeError, match=r"Trainer\(loss_fn=list\): list is a class.*forget \(\)"):
        check_no_class("Trainer(loss_fn=list)", list)
    check_no_class("Trainer(loss_fn=[])", [])


@pytest.mark.parametrize("value", [True, 2.0, "2", None])
def test_what_is_no_int_is_refused_with_its_type(value):
    with pytest.raises(TypeError) as raised:
        check_whole_number("StepLimit(steps=…)", value)
    found = type(value).__name__
    assert str(raised.value) == f"StepLimit(steps=…): found a {found}; allowed: an int"


def test_the_least_number_is_allowed_and_the_one_below_is_refused():
    check_whole_number("StepLimit(steps=1)", 1, least=1)
    check_whole_number("seed(-5)", -5)
    with pytest.raises(ValueError, match=r"^StepLimit\(steps=0\): allowed: an int, from 1$"):
        check_whole_number("StepLimit(steps=0)", 0, least=1)
