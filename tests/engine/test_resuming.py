import pytest
import torch
from resuming import fits, resumed_fit, same, values, whole_fit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trackside.engine import ResumeError, Trainer


def shuffled():
    """Dropout, batch norm, AdamW, data that is shuffled by the global generator."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3)
    )
    data = TensorDataset(torch.randn(18, 5), torch.randint(0, 3, (18,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    return trainer, DataLoader(data, 4, shuffle=True), DataLoader(data, 8)


@pytest.mark.filterwarnings("ignore:.*cannot tell its position")
def test_a_fit_goes_on_from_every_boundary_bit_for_bit():
    make = fits(shuffled, epochs=2)
    whole, signals, states = whole_fit(make)
    assert len(states) > 20
    for sent, state in states:
        rest, heard = resumed_fit(make, state)
        assert heard == signals[sent:]
        assert same(values(rest), values(whole))
        assert rest.state.outcome == "completed"


def test_a_state_dict_of_another_model_names_what_differs():
    trainer, *_ = shuffled()
    state = trainer.state_dict()
    other = nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(8))
    stranger = Trainer(other, nn.MSELoss(), torch.optim.AdamW(other.parameters()))
    before = values(stranger)
    with pytest.raises(ResumeError, match=r"another model.*0\.weight is \(8, 5\).*4\.bias"):
        stranger.load_state_dict(state)
    assert same(values(stranger), before)
