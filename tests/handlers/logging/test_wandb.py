import pytest
from helpers import batches, trainer_of
from loggers import wandb_files

from trackside.handlers import Metrics
from trackside.handlers.logging.wandb import WandB
from trackside.handlers.run_facts import run_facts


@pytest.fixture
def folder(offline, tmp_path):
    return tmp_path


def test_each_epoch_is_a_row_with_its_outcome(folder):
    trainer = trainer_of(Metrics(), WandB(dir=str(folder)))
    trainer.fit(batches(), batches(2), epochs=2)
    (file,) = wandb_files(folder)
    rows = [{k: v for k, v in row.items() if not k.startswith("_")} for row in file.history]
    assert [row["step"] for row in rows] == [3, 6]
    assert rows[-1] == {
        "step": 6,
        "epoch": 1,
        "samples": 24,
        "lr": 0.1,
        "outcome": "completed",
        **trainer.state.metrics,
    }


def test_the_config_has_the_facts_of_the_fit(folder):
    trainer = trainer_of(WandB(dir=str(folder)))
    trainer.state.facts = {"factory": "m:f", "arguments": {"lr": 0.1}}
    trainer.fit(batches(1), seed=3)
    (file,) = wandb_files(folder)
    assert file.config["facts"] == run_facts(trainer.state)
    assert file.config["facts"]["arguments"] == {"lr": 0.1}


def test_arguments_of_wandb_init_are_used_for_every_run(folder):
    trainer = trainer_of(WandB(dir=str(folder), config={"width": 8}))
    for _ in range(2):
        trainer.fit(batches(1))
    files = wandb_files(folder)
    assert [(file.config["width"], file.config["fit"]) for file in files] == [(8, 0), (8, 1)]


def test_the_run_of_the_program_is_not_used(folder):
    import wandb

    logger, seen = WandB(dir=str(folder)), []
    trainer = trainer_of(logger)
    trainer.on("begin_epoch")(lambda t, state: seen.append((wandb.run, logger.run is None)))
    trainer.on("begin_epoch")(lambda t, state: logger.run.log({"mine": 1}))
    trainer.fit(batches(1))
    assert seen == [(None, False)]
    assert logger.run is None
    (file,) = wandb_files(folder)
    assert file.history[0]["mine"] == 1


def test_an_unknown_argument_of_wandb_init_is_refused(offline):
    with pytest.raises(TypeError, match=r"wandb\.init .*'projct'"):
        WandB(projct="typo")


def test_an_id_is_refused_because_two_fits_would_share_it(offline):
    with pytest.raises(ValueError, match=r"WandB\(id='a'\): each fit is a new run"):
        WandB(id="a")


def test_a_run_that_cannot_be_opened_is_logged_once(folder, caplog):
    logger = WandB(dir=str(folder), mode="nonsense")
    trainer = trainer_of(logger)
    assert trainer.fit(batches(1)).outcome == "completed"
    assert logger not in trainer.handlers
    messages = [record.getMessage()[:23] for record in caplog.records if record.name == "trackside"]
    assert messages == ["WandB.begin_fit failed "]
