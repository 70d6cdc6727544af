"""With no handlers, a fit is the hand-written loop, bit for bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trackside.engine import Trainer

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-2),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 1e-2),
}


def mlp():
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
    )


def loader(seed, rows=26, size=6):
    generator = torch.Generator().manual_seed(seed)
    data = torch.utils.data.TensorDataset(
        torch.randn(rows, 8, generator=generator), torch.randint(0, 3, (rows,), generator=generator)
    )
    return torch.utils.data.DataLoader(data, size, shuffle=True, generator=generator)


def by_hand(seed, optimizer_name, epochs, validate):
    torch.manual_seed(seed)
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    train, valid = loader(seed), loader(seed + 1)
    for _ in range(epochs):
        model.train()
        for xb, yb in train:
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if validate:
            model.eval()
            with torch.no_grad():
                for xb, yb in valid:
                    loss_fn(model(xb), yb)
    return model.state_dict(), torch.get_rng_state()


def by_trainer(seed, optimizer_name, epochs, validate):
    torch.manual_seed(seed)
    model = mlp()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    trainer.fit(loader(seed), loader(seed + 1) if validate else None, epochs=epochs)
    return model.state_dict(), torch.get_rng_state()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@given(seed=st.integers(0, 1000), epochs=st.integers(1, 3), validate=st.booleans())
@settings(max_examples=5)
def test_weights_buffers_and_generator_equal_those_of_a_hand_written_loop(
    optimizer, seed, epochs, validate
):
    expected, expected_rng = by_hand(seed, optimizer, epochs, validate)
    actual, actual_rng = by_trainer(seed, optimizer, epochs, validate)
    assert expected.keys() == actual.keys()
    for name in expected:
        assert torch.equal(expected[name], actual[name]), name
    assert torch.equal(expected_rng, actual_rng)
