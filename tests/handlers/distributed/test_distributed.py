"""Fits in two processes, started by torchrun: one launch runs all scenarios."""

import math

import pytest
from distributed_scenarios import FAILING, RECOVERIES, resumable, run_scenarios, weights

from trackside.views import diff_journals
from trackside.views.journals.journal_diff import MEASURED

NAMES = [
    "equal_to_one_process",
    "fewer_examples_than_ranks",
    "accumulating",
    "sharded_equals_replicated",
    "sharded_while_fitting",
    "gradients_while_accumulating",
    "shuffled_order",
    "writers",
    "journals",
    "left_as_found",
    "disagreeing",
    "refused",
    "raised_on_one_rank",
    "missed_exchanges",
    "recorded_waits",
    "failed_buffers",
    "exchanging_norms",
    "left_threads",
    "overlapped_votes",
    "recovered",
    "rare_votes",
    "given_wrapper",
    "prepared_by_accelerate",
    "resumed_fits",
    "saved_for_others",
    "joined_loaders",
    "a_rank_without_a_batch",
    "averaged_norms",
    "failing_averages",
    "forwarded_within_training",
    "failing_writes",
    "preempted",
    "command_line",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def results(folder):
    return run_scenarios(NAMES, folder)


def assert_equal_fits(result):
    alone, together = result["alone"], result["together"]
    assert together["weights"] == pytest.approx(alone["weights"], abs=1e-6)
    assert together["metrics"] == pytest.approx(alone["metrics"], abs=1e-6)
    for name in ("samples", "step", "position", "confusion"):
        assert together[name] == alone[name], name
    for ours, expected in zip(together["worst"], alone["worst"], strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


def test_two_ranks_train_like_one_process_with_twice_the_batch_size(results):
    for result in results["equal_to_one_process"]:
        assert_equal_fits(result)


def test_a_rank_without_an_example_in_the_last_batch_counts_for_nothing(results):
    for result in results["fewer_examples_than_ranks"]:
        assert_equal_fits(result)


def test_accumulated_gradients_are_those_of_one_process(results):
    for result in results["accumulating"]:
        assert_equal_fits(result)


def test_sharded_fits_equal_replicated_ones(results):
    for result in results["sharded_equals_replicated"]:
        for replicated, sharded in zip(result["ddp"], result["fsdp2"], strict=True):
            assert_equal_fits({"alone": replicated, "together": sharded})


def test_a_model_is_sharded_during_a_fit_and_whole_afterwards(results):
    first, second = results["sharded_while_fitting"]
    for result in (first, second):
        assert result["kinds"] == [["DTensor"] * 6]
        assert result["same parameters"]
        assert result["same modules"]
        assert result["attributes"] == []
        assert result["state"] == "Tensor"
    assert first["validated"] == second["validated"]


def test_gradients_are_reduced_in_the_last_batch_of_a_window_only(results):
    first, second = results["gradients_while_accumulating"]
    equal = [here == there for here, there in zip(first, second, strict=True)]
    assert equal == [False, False, True] * 2


def test_a_shuffled_loader_is_read_once_by_all_ranks_together(results):
    first, second = (result["epochs"] for result in results["shuffled_order"])
    for epoch in (0, 1):
        together = first[epoch] + second[epoch]
        assert len(set(together)) == len(together) == 37
    assert first[0] != first[1]
    assert [r["samples"] for r in results["shuffled_order"]] == [74, 74]
    assert all(r["restored"] for r in results["shuffled_order"])


def test_only_rank_0_draws_a_bar_and_writes_a_log(results):
    first, second = results["writers"]
    assert first["bar"].count("epochs 2/2") == 1
    assert first["lines"] == 3
    assert second["bar"] == ""
    assert first["attached"]
    assert second["attached"]


def test_the_journals_of_two_ranks_differ_in_their_batches_only(results, folder):
    own = {"xb", "yb", "pred", "loss"}
    assert results["journals"] == ["other.rank0.jsonl", "other.rank1.jsonl"]
    first, second = folder / "equal.rank0.jsonl", folder / "equal.rank1.jsonl"
    assert diff_journals(first, second).difference.name == "xb"
    result = diff_journals(first, second, {*MEASURED, *own})
    assert (result.difference, result.transitions > 30) == (None, True)
    first, second = folder / "other.rank0.jsonl", folder / "other.rank1.jsonl"
    found = diff_journals(first, second, {*MEASURED, *own}).difference
    assert (found.name, found.where) == (
        "report of only_here",
        "step 2, after_batch (epoch 1, batch 2)",
    )


def test_group_model_and_loaders_are_left_as_they_were_found(results):
    first, second = results["left_as_found"]
    for result in (first, second):
        assert result["model"]
        assert not result["joined"]
        assert result["agreement"]
    assert first["gradient"] != second["gradient"]
    assert first["buffers"] != second["buffers"]  # the ranks called the plain model differently
    assert first["validated"] == second["validated"]
    assert first["predicted"] + second["predicted"] == 23


def test_ranks_that_disagree_are_named_before_the_run(results):
    for errors in results["disagreeing"]:
        assert "rank 1 has model {'weight': '(3, 5) torch.float32'" in errors["model"]
        assert "rank 1 has length of train_loader 8, rank 0 has" in errors["length"]
        assert "rank 1 has handlers ['Metrics']" in errors["handlers"]
        assert "rank 1 has seed of train_loader 1, rank 0 has" in errors["seed"]
        assert "rank 1 has chart [" in errors["chart"]
        assert "rank 1 has epochs 2, rank 0 has 1" in errors["epochs"]
        assert "rank 1 has strategy fsdp2, rank 0 has ddp" in errors["strategy"]
        assert "rank 1 has batch size of train_loader 8, rank 0 has 4" in errors["batch size"]
        assert "rank 1 has options of GradientAccumulation {'batches': 2}" in errors["window"]
        assert "rank 1 has frozen ['0.bias'], rank 0 has []" in errors["frozen"]
        assert "rank 1 has options of its groups {'lr of group 0': 0.2}" in errors["rate"]


def test_what_one_rank_cannot_begin_with_is_an_error_of_all(results):
    first, second = results["disagreeing"]
    for name, kind in {"list": "TypeError", "single": "AttachError"}.items():
        assert second[name].startswith(f"{kind}: ")
        assert first[name] == f"PeerError: rank 1 cannot begin the run: {second[name]}"


def test_what_is_distributed_already_is_refused_or_left_alone(results):
    for number, result in enumerate(results["refused"]):
        assert "wrapped already: it has a DistributedDataParallel" in result["wrapped"]
        assert "is a DistributedDataParallel; allowed with 'ddp'" in result["given"]
        assert f"rank 3 of 5, and this process has rank {number} of 2" in result["sampler"]
        assert "cannot shard the train_loader, a list: allowed" in result["list"]
        assert "SplitOnOutOfMemory works in one process only: one rank" in result["split"]
        assert "GradientAccumulation works in one process only: weight=" in result["weight"]
        assert result["kept"] == [True]
        assert result["group is kept"] == "completed"


def test_the_command_trains_in_all_processes_and_prints_once(results):
    first, second = results["command_line"]
    assert (first["code"], second["code"]) == (0, 0)
    assert "completed after 23 steps" in first["out"]
    assert (second["out"], second["err"]) == ("", "")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_what_one_rank_raises_ends_the_same_scope_on_all_ranks(results, strategy):
    first, second = results["raised_on_one_rank"]
    for name, result in first.items():
        other = second[name]
        if name.startswith(strategy):
            assert result["parameters"] == "Parameter"
            assert not result["joined"]
            for value in ("outcome", "counts"):
                assert result[value] == other[value], (name, value)
            is_lost = strategy == "fsdp2" and "error" in name
            assert all(map(math.isnan, result["weights"])) == is_lost, name
            assert is_lost or result["weights"] == other["weights"], name
    ends = {"batch": (1, 3, 7), "epoch": (1, 3, 6), "fit": (0, 1, 2)}
    for scope, (epoch, batch, step) in ends.items():
        found = next(r for n, r in first.items() if n.startswith(strategy) and n.endswith(scope))
        assert found["counts"] == [epoch, batch, step]
        assert found["outcome"] == ("cancelled" if scope == "fit" else "completed")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_the_other_rank_gets_a_peer_error_with_the_culprits_traceback(results, strategy):
    first, second = results["raised_on_one_rank"]
    errors = [name for name in first if name.startswith(strategy) and "error" in name]
    assert len(errors) == 3
    for name in errors:
        assert second[name]["error"] == "ZeroDivisionError: on rank 1"
        assert first[name]["error"].startswith("PeerError: rank 1: ZeroDivisionError: on rank 1")
        assert "Traceback" in first[name]["error"]
        assert first[name]["outcome"] == "failed"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("name", RECOVERIES)
def test_what_one_rank_recovers_from_has_the_effect_of_one_process(results, name, strategy):
    first, second = (result[name] for result in results["recovered"])
    found, alone, without = first[strategy], first["alone"], first["without"]
    assert found == second[strategy]
    assert found["weights"] == pytest.approx(alone["weights"], abs=1e-6)
    assert found["weights"] == pytest.approx(without["weights"], abs=1e-6)
    assert found["counts"] == alone["counts"] == without["counts"]
    assert found["signals"] == alone["signals"] != without["signals"]
    is_retry = name.startswith("retry")
    assert [made[1:] for made in found["rollbacks"]] == [[13, 12, [1, 2], [1, 3]]] * (not is_retry)


def test_a_model_that_a_user_has_wrapped_is_trained_as_it_is(results):
    for plain, given in results["given_wrapper"]:
        assert given[0] == pytest.approx(plain[0], abs=1e-6)
        assert given[1:] == plain[1:]
        assert given[-1] is True


def test_a_model_that_accelerate_has_prepared_is_trained_as_it_is(results):
    for result in results["prepared_by_accelerate"]:
        plain, prepared = result["fits"]
        assert result["kind"] == "DistributedDataParallel"
        assert prepared[0] == pytest.approx(plain[0], abs=1e-6)
        assert prepared[1:] == plain[1:] == [15, 128]
        assert result["metrics"] == ["train_accuracy", "train_loss"]


def test_a_batch_that_is_cancelled_in_an_open_vote_leaves_no_gradient(results):
    for result in results["overlapped_votes"]:
        together = result["together"]
        assert together["weights"] == pytest.approx(result["alone"]["weights"], abs=1e-6)
        assert (together["step"], together["samples"]) == (19, result["alone"]["samples"])


def test_most_batches_of_a_sharded_loader_have_one_vote_which_overlaps(results):
    quiet, raising = (result["votes"] for result in results["overlapped_votes"])
    assert quiet["open"] == raising["open"] + 1 == 19  # of 20; the raising rank opens none
    assert quiet["all"] == raising["all"] < 2 * 20


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_ranks_that_vote_in_every_fifth_batch_end_alike(results, strategy):
    one, other = results["rare_votes"]
    (error, *ends), stopped, *failures = (r for n, r in one.items() if n.startswith(strategy))
    assert (error, ends[:2]) == ("", ["completed", 20])
    assert ends[2] < 20
    assert stopped == other[f"{strategy}: cancel of the fit, True"]
    assert (stopped[1], 2 <= stopped[2] <= 2 + 5) == ("cancelled", True)
    for has_buffers, failed in zip((True, False), failures, strict=True):
        assert failed[0].startswith("PeerError: rank 1: ZeroDivisionError: on rank 1")
        assert not failed[-1]  # the group of the gradients was ended: nobody has waited for it
        found = other[f"{strategy}: error of the model, {has_buffers}"]
        assert found[0] == "ZeroDivisionError: on rank 1"


def test_what_the_dataset_of_one_rank_raises_fails_all_in_the_same_batch(results):
    one, other = results["overlapped_votes"]
    assert other["error"] == "OSError: example 40 is damaged"
    assert one["error"].startswith("PeerError: rank 1: OSError: example 40 is damaged")
    assert one["counts"][:2] == other["counts"][:2] == ["failed", 2]


def test_no_rank_waits_in_its_second_forward_pass_for_one_that_has_failed_before(results):
    one, other = results["overlapped_votes"]
    assert other["early"] == "OSError: only here"
    assert one["early"].startswith("PeerError: rank 1: OSError: only here")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_fit_of_two_ranks_resumes_exactly(results, strategy):
    for result in results["resumed_fits"]:
        found = result[strategy]
        assert found["cancelled"] == "cancelled"
        assert found["resumed"] == found["whole"]
        assert (found["step"], found["rows"]) == (12, 3)


def test_ranks_that_resume_from_different_checkpoints_are_named(results):
    for result in results["resumed_fits"]:
        assert "rank 1 has step 3, rank 0 has 2" in result["apart"]


def test_an_error_in_the_averaging_pass_of_one_rank_leaves_the_statistics_on_all(results):
    first, second = results["failing_averages"]
    assert second["error"].startswith("ZeroDivisionError: in the averaging pass")
    assert first["error"].startswith("PeerError: rank 1: ZeroDivisionError")
    assert first["buffers"] == second["buffers"]
    assert first["weights"] == second["weights"]


def test_averaged_models_have_the_norm_statistics_of_all_ranks(results):
    first, second = results["averaged_norms"]
    assert first == second
    mean, _, batches = first["buffers"]
    assert mean == pytest.approx(first["given"], abs=1e-6)
    assert batches == [4]


def test_forwarding_the_training_data_within_training_waits_for_no_rank(results):
    first, second = results["forwarded_within_training"]
    assert first["uneven"]["samples"] == [16]
    assert second["uneven"]["samples"] == [16, 16]
    for found in (first, second):
        assert found["none"]["weights"] == found["once"]["weights"] == found["uneven"]["weights"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_joined_loaders_of_two_lengths_train_on_all_examples(results, strategy):
    alone, *_ = (result["alone"] for result in results["joined_loaders"])
    first, second = (result[strategy] for result in results["joined_loaders"])
    for found in (first, second):
        assert found["weights"] == pytest.approx(alone["weights"], abs=1e-6)
        assert found["counts"] == [10, 80, 1]
        assert found["metrics"]["valid_accuracy"] == pytest.approx(alone["accuracy"], abs=1e-6)
        assert found["metrics"]["valid_loss"] == pytest.approx(alone["loss"], abs=1e-6)
    assert first["weights"] == second["weights"]
    paused, whole = [4, 4, 0, 0], [4, 4, 4, 4]
    assert first["batches"] == [5, 5, 5, 5, *paused, 5, *paused] * 2
    assert second["batches"] == [5, 5, 5, 0, *whole, 0, *whole] * 2


def test_a_rank_that_cannot_join_ends_all_ranks(results):
    first, second = results["a_rank_without_a_batch"]
    reason = "RuntimeError: Distributed(uneven='join'): the loader of rank 1 has no batch"
    assert second["empty"].startswith(reason)
    assert first["empty"].startswith(f"PeerError: rank 1: {reason}")
    assert second["fails"] == "ZeroDivisionError: no more data"
    assert first["fails"].startswith("PeerError: rank 1: ZeroDivisionError: no more data")


def test_a_save_that_fails_names_the_rank_whose_part_it_was(results):
    for name, (is_main, _) in FAILING.items():
        found = [result[name] for result in results["failing_writes"]]
        culprit = 0 if is_main else 1
        assert found[culprit].startswith(("OSError", "NotADirectoryError", "ZeroDivisionError"))
        kind = found[culprit].partition(":")[0]
        assert found[1 - culprit].startswith(f"PeerError: rank {culprit}: {kind}"), name


@pytest.mark.parametrize("during", ["train", "validate"])
def test_a_signal_to_one_rank_lets_all_ranks_save_and_exit(results, during):
    first, second = results["preempted"]
    assert first[during]["code"] == second[during]["code"] == 143
    assert first[during]["stopped"] == second[during]["stopped"]
    assert first[during]["stopped"][2] < 12
    for result in (first, second):
        assert result[during]["weights"] == result["whole"]


def test_a_checkpoint_of_two_ranks_resumes_in_one_process(results, folder, monkeypatch):
    monkeypatch.setenv("OUT", str(folder))
    trainer, *loaders = resumable(None, 16, "shared", dropout=0.0)
    with pytest.warns(UserWarning, match="a fit of 2 processes is resumed by 1"):
        state = trainer.fit(*loaders, resume="auto")
    for whole in results["saved_for_others"]:
        assert weights(state.model) == pytest.approx(whole, abs=1e-6)


@pytest.mark.long
def test_a_checkpoint_of_two_ranks_resumes_on_four(results, folder):
    found = run_scenarios(["resumed_from_others"], folder, processes=4)
    for resumed in found["resumed_from_others"]:
        assert resumed == pytest.approx(results["saved_for_others"][0], abs=1e-6)


@pytest.mark.long
def test_other_handlers_work_and_leave_equal_weights(tmp_path):
    first, second = run_scenarios(["other_handlers"], tmp_path)["other_handlers"]
    for name, (weights_, error) in first.items():
        assert weights_ == second[name][0], name
        assert (error, second[name][1]) == ("", ""), name


@pytest.mark.long
def test_a_fit_goes_on_after_torchrun_has_restarted_a_killed_rank(tmp_path):
    found = run_scenarios(["killed_and_restarted"], tmp_path, restarts=1)
    for result in found["killed_and_restarted"]:
        assert result["restarts"] == 1
        assert result["resumed"] == result["whole"]


def missed(results, name):
    """What both ranks have found in a scenario; their weights are equal."""
    one, other = (result[name] for result in results["missed_exchanges"])
    assert one["weights"] == other["weights"]
    return one, other


@pytest.mark.parametrize("name", ["an error before a save", "a metric", "a joined fetch"])
def test_no_rank_waits_in_an_exchange_for_one_that_has_failed(results, name):
    one, other = missed(results, name)
    assert one["error"].startswith("PeerError: rank 1: ZeroDivisionError: only here, raised by")
    assert other["error"] == "ZeroDivisionError: only here"
    assert one["counts"] == other["counts"]
    assert one["counts"][0] == "failed"


def test_what_one_rank_cannot_send_is_named_and_nobody_waits(results):
    one, other = missed(results, "an unsendable metric")
    reason = "TypeError: rank 1 cannot send a metric to the other ranks, as it cannot be pickled: "
    assert other["error"].startswith(reason)
    assert one["error"].startswith(f"PeerError: rank 1: {reason}")
    assert one["counts"] == other["counts"]


def test_a_state_dict_that_fails_on_one_rank_ends_the_save_of_all(results):
    one, other = missed(results, "a state dict")
    assert one["error"].startswith("PeerError: rank 1: ZeroDivisionError: only here")
    assert other["error"] == "ZeroDivisionError: only here"
    assert one["counts"] == other["counts"] == ["failed", 0, 1, 2]


@pytest.mark.parametrize("name", ["a cancel before a save", "a joined cancel"])
def test_a_rank_that_cancels_before_an_exchange_cancels_on_all(results, name):
    for result in missed(results, name):
        assert result["error"] == ""
        assert result["counts"] == ["completed", 1, 4, 7]


def test_a_cancel_of_the_loader_of_one_rank_is_agreed_on(results):
    for result in missed(results, "a cancel of the loader"):
        assert result["error"] == ""
        assert result["counts"] == ["completed", 1, 2, 4]


def test_an_exchange_on_some_ranks_only_is_an_error_of_all(results):
    for result in missed(results, "a save on one rank"):
        assert result["error"].startswith("PeerError: the ranks are in different phases")


@pytest.mark.parametrize(
    ("strategy", "counts"),
    [
        ("ddp", {"gradients": 5, "buffers": 5}),
        ("given", {"gradients": 5, "buffers": 5}),
        ("fsdp2", {"gradients": 5, "weights": 10}),  # the root is gathered in both passes
    ],
)
def test_a_recording_tells_the_waits_in_the_passes_of_a_model_from_work(results, strategy, counts):
    first, second = (result[strategy] for result in results["recorded_waits"])
    assert second["seen"] == ["fit.epoch.train.batch.backward.run"]
    for found in (first, second):
        assert {name: count for name, count in found["counts"].items() if name != "vote"} == counts
        assert found["counts"]["vote"]
        assert "fit.epoch.train.batch.backward.run" in found["waits"]


def test_in_the_batches_that_are_added_up_no_gradient_is_sent_also_with_shards(results):
    for result in results["recorded_waits"]:
        for strategy in ("ddp", "fsdp2"):
            counts = result[f"{strategy} accumulating"]
            assert counts["gradients"] == 3  # of 5 batches, two a window


def test_a_wrapper_that_is_watched_has_its_own_hooks_afterwards(results):
    assert all(result["hooks"] for result in results["recorded_waits"])


def test_the_wait_for_buffers_that_a_rank_does_not_send_has_ended_in_a_recording(results):
    first, second = results["failed_buffers"]
    assert second["error"] == "ZeroDivisionError: before the buffers"
    assert first["error"].startswith("PeerError: rank 1: ZeroDivisionError: before the buffers")
    assert first["seen"][-2:] == [["buffers", True], ["buffers", False]]
    assert len(first["seen"]) == len(second["seen"]) + 2


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_an_error_ends_a_rank_that_waits_in_a_norm_over_all_ranks(results, strategy):
    first, second = (result[strategy] for result in results["exchanging_norms"])
    assert second["error"] == "ZeroDivisionError: on rank 1"
    assert first["error"].startswith("PeerError: rank 1: ZeroDivisionError: on rank 1")
    assert first["step"] == second["step"] == 1
    assert first["kept"]
    assert second["kept"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_fit_leaves_no_thread_of_its_process_groups(results, strategy):
    for result in results["left_threads"]:
        assert result[strategy]["during"]
        assert result[strategy]["after"] == [[], [], []]
