"""How a pass over a loader is opened: what is told the epoch, and what is not reset."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Subset, TensorDataset

from trackside.engine import KeyedLoader, Trainer
from trackside.handlers import ValidateEvery

DATA = TensorDataset(torch.randn(16, 3), torch.randn(16, 1))


def trainer_of(*handlers):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Trainer(model, nn.MSELoss(), optimizer, handlers=handlers)


class Told:
    """Records the epochs that it is told."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


class ToldSampler(Told, RandomSampler):
    pass


class ToldBatches(Told, BatchSampler):
    pass


class ToldData(Told, TensorDataset):
    pass


class Restarting:
    """Its own iterator, which starts anew."""

    def __init__(self, length=3):
        self.length = self.place = length

    def __iter__(self):
        self.place = 0
        return self

    def __next__(self):
        if self.place == self.length:
            raise StopIteration
        self.place += 1
        return torch.ones(2, 3), torch.ones(2, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_one_loader_serves_training_and_a_validation_in_its_middle(workers):
    loader = DataLoader(DATA, 2, num_workers=workers, persistent_workers=bool(workers))
    trainer = trainer_of(ValidateEvery(steps=3))
    validated = []
    trainer.on("after_validate")(lambda trainer, state: validated.append(state.batch_index + 1))
    state = trainer.fit(loader, loader, epochs=2)
    assert state.step == 16
    assert set(validated) == {8}


def test_a_fit_resumes_in_a_validation_that_shares_a_persistent_loader():
    loader = DataLoader(DATA, 4, num_workers=1, persistent_workers=True)

    def trained(resume=None, stop=None):
        torch.manual_seed(0)
        trainer = trainer_of(ValidateEvery(steps=3))
        for transition in trainer.steps(loader, loader, epochs=1, resume=resume):
            state = trainer.state
            if transition.trigger == "after_batch" and (state.training, state.batch_index) == stop:
                return trainer.state_dict()
        return trainer.state.step, trainer.state.model.weight.tolist()

    whole = trained()
    saved = trained(stop=(False, 1))
    with pytest.warns(UserWarning, match="are read again and dropped"):
        assert trained(resume=saved) == whole


@pytest.mark.parametrize("loader", [KeyedLoader(DATA, 2), Restarting()])
def test_a_loader_with_one_position_is_refused_for_a_second_pass_at_once(loader):
    trainer = trainer_of(ValidateEvery(steps=2))
    with pytest.raises(ValueError, match=r"is the train_loader, a .* Allowed: a second loader"):
        trainer.fit(loader, loader)


def test_a_loader_with_one_position_may_serve_a_training_and_then_a_validation():
    loader = KeyedLoader(DATA, 2)
    assert trainer_of().fit(loader, loader, epochs=2).step == 16


def test_an_iterator_that_starts_anew_serves_several_epochs():
    assert trainer_of().fit(Restarting(), Restarting(), epochs=3).step == 9


def test_an_iterator_that_does_not_start_anew_is_reported():
    class Once(Restarting):
        def __iter__(self):
            self.used = self.__dict__.setdefault("used", 0) + 1
            self.place = self.place if self.used > 1 else 0
            return self

    with pytest.warns(UserWarning, match="returns itself, and has not started anew"):
        trainer_of().fit(Once(), epochs=2)


class Plain:
    def __init__(self):
        self.inner = iter([])

    def __iter__(self):
        """Itself."""
        return self

    def __next__(self):
        return next(self.inner)


@pytest.mark.parametrize("loader", [iter([]), map(abs, []), Plain(), (i for i in [])])
def test_an_iterator_that_returns_itself_is_refused_for_several_epochs(loader):
    with pytest.raises(ValueError, match="can be read once"):
        trainer_of().fit(loader, epochs=2)


def test_the_samplers_and_the_dataset_of_a_loader_are_told_the_epoch():
    sampler, data = ToldSampler(DATA), ToldData(*DATA.tensors)
    batches = ToldBatches(sampler, 4, drop_last=False)
    loader = DataLoader(Subset(data, range(16)), batch_sampler=batches)
    trainer_of().fit(loader, epochs=3)
    assert sampler.epochs == batches.epochs == data.epochs == [0, 1, 2]


def test_a_sampler_is_told_the_epoch_once_and_not_by_an_evaluation_alone():
    sampler = ToldSampler(DATA)
    loader = DataLoader(DATA, 4, sampler=sampler)
    trainer = trainer_of()
    trainer.fit(loader, epochs=2)
    trainer.validate(loader)
    assert sampler.epochs == [0, 1]


def test_a_resumed_pass_is_opened_with_its_epoch():
    def loader():
        return DataLoader(DATA, 4, sampler=ToldSampler(DATA))

    trainer = trainer_of()
    first, second = loader(), loader()
    for transition in trainer.steps(first, epochs=3):
        if transition.trigger == "after_batch" and trainer.state.epoch == 1:
            saved = trainer.state_dict()
            break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer_of().fit(second, epochs=3, resume=saved)
    assert second.sampler.epochs == [1, 2]


def test_a_dataset_in_place_of_a_loader_is_refused_with_the_line_to_write():
    for data in (DATA, Subset(DATA, [1])):
        with pytest.raises(TypeError, match=r"a dataset.*KeyedLoader\(dataset, 32, shuffle=True\)"):
            trainer_of().fit(data)


def test_a_list_can_be_trained_on_and_validated_in_the_middle_of_that():
    seen = []
    trainer = trainer_of(ValidateEvery(steps=2))

    @trainer.on("begin_batch")
    def see(trainer, state):
        seen.append((state.training, int(state.xb[0, 0])))

    batches = [(torch.full((1, 3), float(n)), torch.ones(1, 1)) for n in range(3)]
    trainer.fit(batches, batches)
    validation = [(False, n) for n in range(3)]
    assert seen[:6] == [(True, 0), (True, 1), *validation, (True, 2)]
