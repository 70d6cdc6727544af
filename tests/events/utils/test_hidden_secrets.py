import math
from pathlib import Path

import pytest
import torch

from trackside.events.utils.hidden_secrets import hidden_command, hidden_text, is_secret, plain


@pytest.mark.parametrize("name", ["api_key", "--hf-token", "dbPassword", "Authorization", "PWD"])
def test_what_has_the_name_of_a_secret_is_hidden(name):
    assert is_secret(name)
    assert plain("abc", name) == plain({name: "abc"})[name] == "***"


@pytest.mark.parametrize("name", ["lr", "tokenizer", "n_tokens", "monkey", "keyboard", ""])
def test_a_name_that_only_resembles_one_of_a_secret_is_kept(name):
    assert not is_secret(name)
    assert plain({name: "abc"}) == {name: "abc"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (math.inf, "inf"),
        (torch.float32, "torch.float32"),
        (torch.device("cpu"), "cpu"),
        (Path("runs"), "runs"),
        (torch.zeros(2), "Tensor"),
        (math.sqrt, "sqrt"),
        (object(), "object"),
        ((1, [2, "x"]), [1, [2, "x"]]),
        ({1: {"lr": 0.1}}, {"1": {"lr": 0.1}}),
    ],
)
def test_a_value_is_kept_as_json_and_an_object_as_its_type(value, kept):
    found = plain(value)
    assert (type(found), found) == (type(kept), kept)


def test_at_most_100_parts_of_a_container_are_kept():
    assert plain(list(range(101))) == list(range(100))
    assert plain(dict.fromkeys(range(101), 0)) == dict.fromkeys(map(str, range(100)), 0)
    assert hidden_command(["x"] * 101) == ["x"] * 100


def test_a_long_text_is_shortened_after_500_characters():
    assert hidden_text("a" * 500) == "a" * 500
    assert hidden_text("a" * 501) == "a" * 500 + "…"


def test_a_login_in_an_address_and_a_key_in_a_text_are_hidden():
    assert hidden_text("https://me:pw@host/x") == "https://***@host/x"
    assert hidden_text("use sk-abcdefghijklmnop0123 now") == "use *** now"
    assert hidden_text("sk-short") == "sk-short"


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (["fit.py", "--token=abc", "--lr=1"], ["fit.py", "--token=***", "--lr=1"]),
        (["fit.py", "--token", "abc", "x"], ["fit.py", "--token", "***", "x"]),
        (["fit.py", "--token", "--lr", "1"], ["fit.py", "--token", "--lr", "1"]),
        (["fit.py", "--token=abc", "next"], ["fit.py", "--token=***", "next"]),
        (["fit.py", "token", "next"], ["fit.py", "token", "next"]),
        (["fit.py", "--lr", "1"], ["fit.py", "--lr", "1"]),
        (["python", "-c", "login('abc')", "x"], ["python", "-c", "…", "x"]),
        (["python", "-u", "-c", "login('abc')"], ["python", "-u", "-c", "…"]),
        (["python", "fit.py", "-c", "conf.toml"], ["python", "fit.py", "-c", "conf.toml"]),
        (["python", "-m", "fit", "-c", "conf.toml"], ["python", "-m", "fit", "-c", "conf.toml"]),
    ],
)
def test_of_a_command_line_only_secrets_and_programs_are_hidden(command, kept):
    assert hidden_command(command) == kept
