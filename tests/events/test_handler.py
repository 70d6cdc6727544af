"""The base of handlers: its repr."""

import pytest
import torch
from helpers import trainer_of
from torch import nn

from trackside import EMA, Handler, handlers

ONES = torch.ones(2)
CALLS = """
ActivationCheckpointing(Conv2d, 'encoder')
ActivationStats(modules=('0',), every=3, bins=4, limits=(-1.0, 1.0))
Annealing('momentum', curve, group=1)
BatchTransform(curve, training_only=False)
CSVLogger('log.csv', every=2)
ChannelsLast()
Checkpoint('runs/x', steps=20, metric='valid_loss', keep_last=None, keep_best=2)
Compile(backend='eager', dynamic=True)
CosineWarmup(warmup=0.1, of='g')
CutMix(alpha=0.5, seed=3)
Distributed(strategy='fsdp2', shard=False, blocks=curve, whole=False)
EMA(decay=0.99)
EarlyStopping(metric='valid_accuracy', patience=5, min_delta=0.01, mode='max')
FlatCosine(flat=0.5)
Fuse(backend='eager', trial=3)
GradientAccumulation(4)
GradientClip(max_norm=1.0)
GradientStats(every=2, bins=4, decades=(-3.0, 1.0))
Interpretation(classes=('a', 'b'), keep=3)
JSONLines('log.jsonl')
Journal('run.jsonl', fields=('loss',), full=('loss',), every=2, blame=True)
LRFinder(start=1e-05, steps=30)
LRSchedule(curve, every='epoch')
LabelSmoothing(smoothing=0.2)
LimitBatches(train=3)
MLflow(experiment='x', tracking_uri='http://127.0.0.1:1', run_name='y', params={'lr': 0.1})
Memory()
Metrics(take=curve)
MixUp(alpha=0.4)
MixedPrecision(dtype=torch.float16)
OneCycle(max_lr=0.1, momentum=None)
OpenTelemetry(batches=True, every=10)
Profiler(path='x.json', wait=0)
ProgressBar(mininterval=0.5)
Prometheus()
Recorder('run.loop', records=256, timing=True, scalars=None)
ReduceOnPlateau(factor=0.5, cooldown=1)
RollbackOnSpike(threshold=5.0, window=20)
SWA(start=0.5, final='trained')
Samples(count=4, as_='text', classes=('a', 'b'), size=64)
SkipBadBatch(in_a_row=3, in_all=9)
SkipEpochs(2)
Snapshots(every=10, where='device')
SplitOnOutOfMemory()
StepLimit(100)
StopOnNaN(every=10)
TensorBoard(directory='runs/y', every=10)
TimeLimit(3600.0)
TokenLimit(1000, count=curve)
Unfreeze([['head'], ['body']], every=2)
ValidateEvery(steps=50)
WandB(every=10, project='digits', reinit='create_new')
WeightDecayGroups(of='g')
"""


def curve(step, total):
    return 1.0


@pytest.mark.filterwarnings("ignore")  # of mlflow, when it imports sqlalchemy
@pytest.mark.parametrize("call", CALLS.split("\n")[1:-1])
def test_the_repr_of_a_handler_is_the_call_that_makes_it(call):
    names = {name: getattr(handlers, name) for name in handlers.__all__}
    made = eval(call, {**names, "curve": curve, "Conv2d": nn.Conv2d, "torch": torch})
    assert repr(made) == call


def test_every_handler_has_this_repr():
    shown = {call.partition("(")[0] for call in CALLS.split()}
    assert {*handlers.__all__} - shown == {"History", "Preemption"}
    assert all(issubclass(getattr(handlers, name), Handler) for name in handlers.__all__)


def test_a_repr_shows_what_an_option_is_now():
    handler = handlers.GradientAccumulation(4)
    handler.batches = 8
    assert repr(handler) == "GradientAccumulation(8)"


class Reporter(Handler):
    def __init__(self, where, api_key="", *, levels=(), missing=3, **others):
        self.where, self.api_key, self._levels, self.others = where, api_key, levels, others

    def after_fit(self, trainer, state):
        pass


def test_secrets_and_large_values_are_not_shown():
    secret = "swordfish"
    made = Reporter(
        "https://me:swordfish@host/",
        api_key=secret,
        levels=[torch.ones(10**6), nn.ReLU(), {"password": secret, "n": 1}, *range(100)],
        token=secret,
        size=2,
    )
    assert repr(made) == (
        "Reporter('https://***@host/', api_key=***, levels=[Tensor, ReLU, {'password': ***, "
        "'n': 1}, 0, 1, 2, ...], token=***, size=2)"
    )


def test_a_repr_reads_no_value_of_a_tensor():
    assert (
        repr(Reporter("x", levels=torch.ones(3, device="meta"))) == "Reporter('x', levels=Tensor)"
    )


def test_a_handler_that_is_not_initialized_has_a_repr():
    assert repr(EMA.__new__(EMA)) == "EMA()"


def test_the_repr_of_a_copy_is_that_of_the_original():
    trainer = trainer_of(handler := EMA(decay=0.5))
    assert repr(handler.__copy__()) == repr(trainer.handlers[0]) == "EMA(decay=0.5)"


def test_a_repr_needs_no_attribute_to_be_of_the_kind_of_its_parameter():
    class Odd(Handler):
        def __init__(self, scale=ONES, *names, **options):
            self.scale, self.names, self.options = torch.zeros(2), 3, None

    assert repr(Odd()) == "Odd(scale=Tensor)"
