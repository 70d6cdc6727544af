import service_starlette
import training_jobs
from service_starlette import Recordings


def test_the_disk_holds_the_recordings_of_remembered_runs_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(training_jobs, "REMEMBERED", 3)
    recordings = Recordings(tmp_path / "runs")
    runs = training_jobs.Runs(recordings.recorder, recordings.remove)
    for _ in range(12):
        number = runs.start({"epochs": 1, "batch_size": 1024})["run"]
        runs[number].result(timeout=300)
    names = {path.name for path in recordings.folder.iterdir()}
    assert names == {f"run-{run['run']}.loop" for run in runs.overview()}
    used = sum(path.stat().st_blocks * 512 for path in recordings.folder.iterdir())
    assert len(names) == 3
    pictures = 2 * 2**20
    assert used < 3 * (2 * 16 * service_starlette.RECORDS + pictures), "bytes"
    runs.close()
