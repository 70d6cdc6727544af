"""What keeps one of two ranks from beginning a run is an error of both, at once."""

import beginning_scenarios
import pytest
from distributed_scenarios import run_scenarios

NAMES = ["refused_resumes", "refused_auto", "refused_runs", "differing"]
STRATEGIES = ["ddp", "fsdp2"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_scenarios(
        NAMES, tmp_path_factory.mktemp("ranks"), module=beginning_scenarios.__file__
    )


def both(results, scenario, strategy, name):
    """What both ranks were told; the trainer is as before on both, and fits afterwards."""
    one, other = (result[f"{strategy}: {name}"] for result in results[scenario])
    for result in (one, other):
        assert result["kept"], name
        assert not result["joined"]
        assert result["again"] == ""
    return one["error"], other["error"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing", "NoCheckpointError: there is no checkpoint in"),
        ("damaged", "CheckpointError: every checkpoint in"),
        ("another fit", "ResumeError: the state dict is from another model than this Sequential"),
        ("a handler", "ZeroDivisionError: in resumed"),
        ("a state", "ZeroDivisionError: in load_state_dict"),
    ],
)
def test_what_one_rank_cannot_resume_ends_all_ranks_at_once(results, strategy, name, error):
    one, other = both(results, "refused_resumes", strategy, name)
    assert other.startswith(error)
    assert one == f"PeerError: rank 1 cannot begin the run: {other}"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("name", "file"), [("missing", "nowhere"), ("damaged", "of rank 1")])
def test_the_file_that_cannot_be_read_is_named_on_all_ranks(results, strategy, name, file):
    for error in both(results, "refused_resumes", strategy, name):
        assert file in error


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("a new fit", ["rank 1 begins a new fit, and rank 0 begins from"]),
        ("another step", ["rank 1 has step 2, rank 0 has 4", "of rank 1/step-000000000002, and"]),
        ("another run", ["rank 1 has weights with checksum", "run of rank 1, and rank 0"]),
    ],
)
def test_ranks_that_begin_at_different_places_are_named(results, strategy, name, texts):
    one, other = both(results, "refused_resumes", strategy, name)
    assert one == other
    for text in texts:
        assert text in one


def test_a_rank_whose_folder_is_empty_does_not_begin_a_new_fit_alone(results):
    for result in results["refused_auto"]:
        assert "rank 1 begins a new fit, as" in result["error"]
        assert "auto of rank 1 has no checkpoint, and rank 0 begins from" in result["error"]
        assert result["kept"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no loader", "TypeError: fit() needs a train_loader"),
        ("no evaluation", "TypeError: loader is a Tensor, which is one batch"),
        ("a handler before", "ZeroDivisionError: in around_run"),
        ("a handler after", "ZeroDivisionError: in around_run"),
        ("the wrap", "ZeroDivisionError: in the wrap"),
    ],
)
def test_what_one_rank_cannot_run_ends_all_ranks_at_once(results, strategy, name, error):
    one, other = both(results, "refused_runs", strategy, name)
    assert other.startswith(error)
    assert one == f"PeerError: rank 1 cannot begin the run: {other}"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["an interrupt", "an interrupt while resuming"])
def test_an_interrupt_on_one_rank_before_a_run_ends_all_ranks_at_once(results, strategy, name):
    one, other = (result[f"{strategy}: {name}"] for result in results["refused_runs"])
    assert other["error"] == "RuntimeError: interrupted"
    assert one["error"].startswith("PeerError: rank 1 has left the run by itself, after an error")
    assert not one["joined"]
    assert not other["joined"]
    assert one["again"] == other["again"] == ""


def test_an_error_that_refuses_its_message_is_named_by_its_class(results):
    one, other = (result["ddp: a silent error"] for result in results["refused_runs"])
    assert one["error"] == "PeerError: rank 1 cannot begin the run: Silent"
    assert other["error"] == "Silent"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_cannot_run_within_a_run_is_an_error_as_any_other(results, strategy):
    one, other = (
        result[f"{strategy}: within a fit"]["error"] for result in results["refused_runs"]
    )
    assert other.startswith("TypeError: loader is a NoneType; expected something to iterate over")
    assert one.startswith(f"PeerError: rank 1: {other}, raised by handler")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rate", "rank 1 has options of its groups {'lr of group 0': 0.2000000"),
        ("betas", "rank 1 has options of its groups {'betas of group 0': [0.9, 0.99]}, rank 0 has"),
        ("order", "rank 1 has order of train_loader {'sampler': 'RandomSampler'}, rank 0 has"),
        ("examples", "rank 1 has order of train_loader {'examples': 47}, rank 0 has"),
        ("place", "rank 1 has order of train_loader {'epoch': 1}, rank 0 has {'epoch': 0}"),
        ("rounds", "rank 1 has iterations 3, rank 0 has 2"),
        ("batches", "rank 1 has batches in each epoch 3, rank 0 has 2"),
        ("evaluation", "rank 1 has evaluation test1, rank 0 has test0"),
        ("dropout", "rank 1 has modules {'3': 'Dropout(p=0.2, inplace=False)'}, rank 0 has"),
        (
            "loss",
            "loss CrossEntropyLoss(ignore_index=-100, reduction=mean, label_smoothing=0.1), rank 0",
        ),
        ("second", "rank 1 has options of EMA 2 {'decay': 0.6}, rank 0 has {'decay': 0.5}"),
        ("text", "rank 1 has options of EarlyStopping {'metric': 'train_loss'}, rank 0 has"),
    ],
)
def test_options_that_differ_are_named_on_all_ranks(results, name, text):
    for errors in results["differing"]:
        assert text in errors[name]
