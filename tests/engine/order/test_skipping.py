"""What a dataset may raise, in this process and in worker processes."""

import logging
from itertools import islice

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from trackside.engine import KeyedLoader, SkipExample, Trainer
from trackside.engine.order.skipping import with_skips
from trackside.events import CancelBatchException, CancelEpochException, CancelFitException


class Raising:
    """Nine examples, of which some raise instead."""

    def __init__(self, **raised):
        self.raised = {int(name[1:]): error for name, error in raised.items()}

    def __len__(self):
        return 9

    def __getitem__(self, index):
        if index in self.raised:
            raise self.raised[index]
        return torch.full((1,), float(index)), torch.zeros(1)


class Given(Raising):
    """The same by `random_getitem`."""

    def random_getitem(self, index, generators):
        return self[index]


SKIP = SkipExample("broken")
SKIPS = {"i1": SKIP, "i4": SKIP, "i5": SKIP, "i6": CancelBatchException("no label")}
workers = pytest.mark.parametrize("workers", [0, 1])


def first_inputs(loader):
    return [x.flatten().tolist() for x, _ in loader]


def trainer_of():
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    return Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.001))


@workers
@pytest.mark.parametrize("kind", [Raising, Given])
def test_a_dataset_skips_examples_and_batches(kind, workers):
    loader = KeyedLoader(kind(**SKIPS), 2, num_workers=workers)
    assert first_inputs(loader) == [[0], [2, 3], [8]]
    assert loader.position == (1, 0)
    assert loader.skipped == (3, 2)


def test_a_subset_skips_examples():
    loader = KeyedLoader(Subset(Subset(Raising(i1=SKIP), range(9)), [1, 2]), 2)
    assert first_inputs(loader) == [[2]]


def test_the_number_of_what_was_skipped_is_logged_once_a_pass_and_saved(caplog):
    loader = KeyedLoader(Raising(**SKIPS), 2)
    with caplog.at_level(logging.WARNING, "trackside"):
        list(loader)
    assert caplog.messages == ["KeyedLoader(Raising), epoch 1: skipped 3 examples and 2 batches"]
    other = KeyedLoader(Raising(**SKIPS), 2)
    other.load_state_dict(loader.state_dict())
    assert other.skipped == (3, 2)
    with caplog.at_level(logging.WARNING, "trackside"):
        list(other)
    assert caplog.messages[1:] == [
        "KeyedLoader(Raising), epoch 2: skipped 3 examples and 2 batches"
    ]


def test_the_reason_of_a_skipped_example_or_batch_is_in_the_log(caplog):
    with caplog.at_level(logging.DEBUG, "trackside"):
        list(KeyedLoader(Raising(i4=SKIP), 2))
        list(KeyedLoader(Raising(i4=CancelBatchException("no label")), 2))
    assert "skipped example 4: broken" in caplog.messages
    assert "skipped a batch: no label" in caplog.messages


@workers
@pytest.mark.parametrize("cancel", [CancelEpochException, CancelFitException])
def test_a_cancel_of_a_dataset_closes_its_scope(cancel, workers):
    trainer = trainer_of()
    loader = KeyedLoader(Raising(i4=cancel("enough")), 2, num_workers=workers)
    state = trainer.fit(loader, epochs=2)
    assert state.step == (4 if cancel is CancelEpochException else 2)
    assert state.outcome == ("completed" if cancel is CancelEpochException else "cancelled")


class OwnError(Exception):
    """An error with attributes, and more than one argument."""

    def __init__(self, path, line):
        super().__init__(path, line)
        self.line = line


class Unpicklable(Exception):
    def __init__(self, *, path):
        super().__init__(path)


class RaisingUnpicklable(Raising):
    """Makes the error where it is raised: a forkserver pickles the dataset."""

    def __getitem__(self, index):
        raise Unpicklable(path="a.png")


@workers
def test_an_error_of_a_dataset_keeps_its_type_attributes_and_traceback(workers):
    with pytest.raises(OwnError) as caught:
        list(KeyedLoader(Raising(i3=OwnError("a.png", 7)), 2, num_workers=workers))
    assert caught.value.line == 7
    if workers:
        assert "raise self.raised[index]" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_sent_is_named():
    loader = KeyedLoader(RaisingUnpicklable(), num_workers=1)
    with pytest.raises(RuntimeError, match=r"Unpicklable \(which cannot be pickled\): a\.png"):
        list(loader)


def test_a_whole_batch_that_skips_an_example_is_told_what_is_allowed():
    class Whole(Raising):
        def __getitems__(self, indices):
            raise SKIP

    with pytest.raises(SkipExample) as caught:
        list(KeyedLoader(Whole(), 2))
    assert "allowed there are a shorter list" in caught.value.__notes__[0]


def trained(loader, resume=None, stop=None):
    trainer = trainer_of()
    for transition in trainer.steps(loader(), epochs=2, resume=resume):
        if transition.trigger == "after_batch" and trainer.state.step == stop:
            return trainer.state_dict()
    return trainer.state.step, trainer.state.model.weight.tolist()


@pytest.mark.filterwarnings("ignore:train_loader:UserWarning")
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ended", ["skipped", "read"])
def test_a_fit_with_skipped_batches_resumes_exactly(ended, stop):
    skips = SKIPS if ended == "read" else {"i8": SKIP, **SKIPS}

    def loader():
        return KeyedLoader(Raising(**skips), 2)

    whole = trained(loader)
    assert whole[0] == (6 if ended == "read" else 4)
    if stop <= whole[0]:
        assert trained(loader, resume=trained(loader, stop=stop)) == whole


@workers
@pytest.mark.filterwarnings("ignore:train_loader:UserWarning")
def test_a_dataset_of_a_dataloader_skips_batches(workers):
    loader = DataLoader(Raising(i3=SKIP, i5=SKIP), 2, num_workers=workers)
    trainer = trainer_of()
    with pytest.warns(UserWarning, match="KeyedLoader leaves out the example only"):
        trainer.fit(loader)
    assert trainer.state.step == 3


def test_a_cancel_of_the_batch_skips_one_of_a_dataloader():
    with pytest.warns(UserWarning, match="tells 5 batches, and gave 4"):
        state = trainer_of().fit(DataLoader(Raising(i3=CancelBatchException()), 2))
    assert state.step == 4


@pytest.mark.parametrize("error", [RuntimeError("DataLoader worker (pid 1) exited"), OSError()])
def test_a_worker_of_a_dataloader_that_has_died_is_explained(error):
    def batches():  # a real worker that dies disturbs the tests that follow
        raise error
        yield

    loader = DataLoader(Raising(), num_workers=1)
    with pytest.raises(type(error)) as caught:
        list(with_skips(loader, batches()))
    assert "Allowed there: SkipExample" in caught.value.__notes__[0]


def test_a_stream_that_raises_a_cancel_of_the_batch_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield torch.ones(1), torch.ones(1)
            raise CancelBatchException

    with pytest.raises(RuntimeError, match="no batch is open"):
        trainer_of().fit(DataLoader(Stream(), 1))


class Told(Raising):
    """Its examples tell the epoch that it was told."""

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        return torch.tensor([self.epoch])


@workers
def test_a_dataset_is_told_the_epoch_in_each_process(workers):
    loader = KeyedLoader(Subset(Told(), range(4)), 4, num_workers=workers)
    found = [batch.flatten().tolist() for _ in range(2) for batch in loader]
    assert found == [[0] * 4, [1] * 4]


def test_a_pass_over_skips_may_be_left():
    loader = KeyedLoader(Raising(**SKIPS), 2)
    assert len(list(islice(loader, 2))) == 2
    assert loader.position == (1, 0)


@pytest.mark.parametrize("raised", [SKIP, CancelBatchException()])
def test_one_of_several_ranks_may_not_skip(raised):
    loader = KeyedLoader(Raising(i1=raised), 2)
    loader.set_rank(0, 2)
    with pytest.raises(RuntimeError, match="in one of 2 ranks"):
        list(loader)
