import torch
from helpers import batches, trainer_of


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
