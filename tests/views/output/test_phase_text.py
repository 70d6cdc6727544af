from trackside.views.output.phase_text import phase_text


def test_a_phase_is_written_as_a_path_without_the_leaf_that_does_the_work():
    assert phase_text("fit.epoch.train.batch.step.run") == "fit › epoch › train › batch › step"
    assert phase_text("fit.epoch.train.batch.step.run", last=2) == "batch › step"
    assert phase_text("idle", last=3) == "idle"
