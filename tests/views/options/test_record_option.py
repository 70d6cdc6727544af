from trackside.views import Recording, status, totals


def test_a_fit_is_recorded_with_the_times_of_its_handlers(command, tmp_path):
    done = command("fit", "jobs:job", "--record", "runs/run.loop")
    assert done.returncode == 0, done.stderr
    with Recording(tmp_path / "runs" / "run.loop") as recording:
        assert str(status(recording)) == "completed"
        assert recording.counters.step == 10
        assert "Metrics.after_batch" in {str(entry) for entry in totals(recording).receivers}


def test_an_unwritable_path_is_refused_in_one_line(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot record to file/run.loop" in refused(
        "fit", "jobs:job", "--record", "file/run.loop"
    )
    assert "that is a folder" in refused("fit", "jobs:job", "--record", ".")


def test_the_demo_writes_a_recording_to_its_folder(command, tmp_path):
    done = command("demo", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    with Recording(tmp_path / "runs" / "demo" / "run.loop") as recording:
        assert str(status(recording)) == "completed"
        assert {scalar.name for scalar in recording.scalars()} >= {"loss", "lr", "valid_accuracy"}
