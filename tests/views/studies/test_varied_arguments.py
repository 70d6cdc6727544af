import commanded
import pytest

from trackside.views.commands.main import build_parser, main
from trackside.views.output.usage_error import UsageError
from trackside.views.studies.varied_arguments import name_with_arguments, typed_values


def parsed(*words):
    return build_parser().parse_args(["ablate", "commanded:job", *words])


def test_values_that_vary_are_typed_by_the_signature_of_the_factory():
    vary = {"width": ["3", "4"], "lr": ["1", "1e-2"], "update.momentum": ["0"], "precision": ["1"]}
    found = typed_values(commanded.job, parsed(), vary)
    assert found == {
        "width": [3, 4],
        "lr": [1.0, 0.01],
        "update.momentum": [0.0],
        "precision": ["1"],
    }
    assert isinstance(found["lr"][0], float)


@pytest.mark.parametrize(
    ("vary", "message"),
    [({"width": ["x"]}, "--width: Expected an int"), ({"widht": ["3"]}, "did you mean --width")],
)
def test_a_value_that_the_factory_does_not_take_is_refused(vary, message):
    with pytest.raises(UsageError, match=message):
        typed_values(commanded.job, parsed(), vary)


def test_the_name_of_a_study_has_what_all_its_fits_have_and_not_what_varies():
    words = ["--width=3", "--factory.precision=high", "--handler=ema.decay=0.9"]
    vary = {"lr": ["0.5"], "update.momentum": ["0.1"]}
    assert name_with_arguments(commanded.job, parsed(*words), vary) == (
        'commanded:job --width 3 --factory.precision "high" --handler ema.decay=0.9'
    )
    assert name_with_arguments(commanded.job, parsed(), {"width": ["3"]}) == "commanded:job"


def test_fits_of_a_study_have_the_arguments_of_the_command_line(tmp_path, capsys):
    words = ["--width=3", "--vary", "lr=1e-1,0.01", "--seeds=0", "--epochs=1"]
    study = ["ablate", "commanded:job", *words, "--file", str(tmp_path / "study.db")]
    assert main(study) == 0
    assert "lr=0.01, seed 0: completed" in capsys.readouterr().out
    assert main([*study, "--factory.precision=high"]) == 2
    assert "give it another file" in capsys.readouterr().err
