from trackside.views.commands.main import main


def test_a_handler_is_shown_with_its_signals_and_arguments(capsys):
    assert main(["handlers", "gradient_clip"]) == 0
    text = capsys.readouterr().out
    assert "Signals: begin_fit, begin_step, after_train" in text
    assert "gradient_clip.max_norm=MAX_NORM " in text
    assert "(type: float, default: 2.0)" in text
    assert text.count("all gradients together are scaled down") == 1


def test_a_handler_without_arguments_has_no_list_of_them(capsys):
    assert main(["handlers", "history"]) == 0
    assert "ARGUMENT" not in capsys.readouterr().out


def test_an_unknown_handler_is_refused_with_the_most_similar_name(capsys):
    assert main(["handlers", "gradclip"]) == 2
    assert "did you mean gradient_clip?" in capsys.readouterr().err
