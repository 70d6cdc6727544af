import torch
from helpers import batches, trainer_of
from states import same

from trackside.engine import CheckpointStore, validated_weights


class Average:
    """Validates with weights of its own."""

    def __init__(self):
        self.weights = {"weight": torch.arange(3.0)}

    def validated_weights(self):
        return self.weights

    def state_dict(self):
        return self.weights

    def load_state_dict(self, state):
        self.weights = state

    def after_step(self, trainer, state):
        self.weights["weight"] += 1


def test_the_weights_that_a_handler_validates_with_are_saved_beside_the_trained_ones():
    trainer = trainer_of(Average())
    trainer.fit(batches(2))
    assert trainer.state_dict()["validated"]["weight"].tolist() == [2, 3, 4]
    assert "validated" not in trainer_of().state_dict()


def test_those_that_were_validated_are_read_with_the_trained_ones_that_have_no_average(tmp_path):
    store = CheckpointStore(tmp_path)
    store.open()
    kept, trained, average = torch.zeros(2), torch.ones(3), torch.arange(3.0)
    state = {"model": {"weight": trained, "bias": kept}, "validated": {"weight": average}}
    assert same(validated_weights(store.save(state, 1, {})), {"weight": average, "bias": kept})
    store.close()
