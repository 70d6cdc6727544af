"""Train in several processes that torchrun has started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import nn

from ...events import AttachError, RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.exception_text import add_note, first_line
from ...events.utils.log import log
from .._accumulation import ends_window
from .._ranks import meeting_by
from .._stateful import Stateful
from ._attached_handlers import reattach_main_only, refuse_single
from ._compared_ranks import Facts, failed_text
from ._control_group import ControlGroup, control_group
from ._joined_loaders import JoinedLoaders
from ._loader_shards import LoaderShards, loader_of
from ._meta_model import initialise_alone
from ._option_checks import check_choice, check_timeout
from ._overlap import RunOverlap, check_vote_every
from ._process_group import DataGroup, joined, rank_and_world_size
from ._rank_differences import agree_to_run, facts_of, tell_all
from ._sharding_checks import check_model, check_options, check_saved, modules_held
from ._strategies import wrapped_model
from ._wrapped_model import WrappedModel, check_parts, count_examples, let_go

if TYPE_CHECKING:
    from torch.distributed.fsdp import MixedPrecisionPolicy

Activity = Callable[[TrainState], str]
Strategy = Literal["ddp", "fsdp2"]
Uneven = Literal["shortest", "join"]


class Distributed(Stateful):
    """Trains one model in all processes that `torchrun` has started, each with its share of data.

    Without torchrun there is one process, and the handler does nothing: the same script runs
    unchanged. With it every `fit`, `validate` and `predict` joins the process group (gloo, and
    nccl for GPUs), or uses the one that there is, and shards the loaders; a fit also wraps the
    model. All three are left as they were found.

    A batch is `batch_size` examples for each rank: two ranks train as one process does with twice
    the batch size. The last batch of a pass is shared out, too, weighted by its examples, so that
    nothing counts twice; the loss must be a mean over the batch. A DataLoader and a KeyedLoader
    are sharded; one with a DistributedSampler is left alone. `predict` returns the outputs for the
    share of this rank.

    Bars and loggers (`main_only`) receive nothing except on rank 0, `state.is_main`. `Metrics`
    computes over all ranks. `state.samples` counts the examples of all ranks. In the batches that
    GradientAccumulation adds up, no gradient is reduced before the last.

    Signals: begin_train, after_train; wraps fetch, forward and backward
    Reads: train_loader, valid_loader, batches, epoch, batch_index, step, n_batches,
        batches_per_step
    Writes: rank, world_size; train_loader and valid_loader for the time of a run; samples,
        batch_size, global_batch_size, loss
    Raises: AttachError for an environment that is not torchrun's, a model that is wrapped already,
        named models, or a loss with parameters, and as a run begins for a handler that works in one
        process only; RuntimeError if the ranks disagree on what to run; TypeError, ValueError for a
        loader that cannot be sharded
    Cost: no sync a batch; the reduction of the gradients, which DistributedDataParallel overlaps
        with the backward pass; with `uneven="join"` a collective more
    Does not: start processes, shard lists and streams, or insert `SyncBatchNorm`

    Args:
        strategy: "ddp": every rank has the whole model; "fsdp2": a shard of each parameter, of its
            gradient and of its optimizer state (`fully_shard`), during a run.
        shard: False: the loaders are left alone; each rank's yields other batches already.
        uneven: if the loader of a rank ends before those of others: "shortest": that ends the pass
            for all; "join": this rank repeats its last batch with weight 0, until all have ended.
        timeout: seconds that a rank waits for another one, from 5.
        vote_every: the number of batches, from 1, of which one has votes, where the number of
            batches is known: what is raised in the others is acted upon at the next vote.
        seed: for the order of a shuffled DataLoader whose generator has no seed of its own.
        blocks: of "fsdp2": says of a module inside the model whether it is sharded by itself, and
            whole only while it computes, as `lambda module: isinstance(module, Block)`.
        mixed_precision: of "fsdp2": a `torch.distributed.fsdp.MixedPrecisionPolicy`.
        whole: of "fsdp2": after a fit every rank has the whole model again; with False its
            parameters are on the meta device, and the weights in the last checkpoint.
    """

    reads = (
        *("train_loader", "valid_loader", "batches", "epoch", "step"),
        *("batch_index", "n_batches", "batches_per_step"),
    )
    runs_before = ("Metrics",)
    needs = ()

    def __init__(
        self,
        strategy: Strategy = "ddp",
        *,
        shard: bool = True,
        uneven: Uneven = "shortest",
        timeout: float = 300.0,
        vote_every: int = 1,
        seed: int = 0,
        blocks: Callable[[nn.Module], bool] | None = None,
        mixed_precision: MixedPrecisionPolicy | None = None,
        whole: bool = True,
    ) -> None:
        check_choice("strategy", strategy, get_args(Strategy))
        check_choice("uneven", uneven, get_args(Uneven))
        check_timeout(timeout)
        check_vote_every(vote_every, uneven)
        check_options(strategy, blocks, mixed_precision, whole)
        self.strategy = strategy
        self.blocks = blocks
        self.mixed_precision = mixed_precision
        self.whole = whole
        self.shard = shard
        self.uneven = uneven
        self.timeout = timeout
        self._patience = timedelta(seconds=timeout)
        self.vote_every = vote_every
        self.seed = seed
        self._model: WrappedModel | None = None
        self._group: DataGroup | None = None
        self._shards = LoaderShards(0, 1, seed)
        self._joined: JoinedLoaders | None = None
        self._counts: tuple[int, int] | None = None

    def rehearse(self, plan: RehearsalPlan) -> None:
        """One process is rehearsed, with the model as it is."""

    def attached(self, trainer: TrainerProtocol) -> None:
        state = trainer.state
        try:
            rank, world_size = rank_and_world_size()
            check_model(state.model, strategy=self.strategy, blocks=self.blocks)
            if world_size > 1:
                check_parts(state)
        except ValueError as error:
            raise AttachError(f"Distributed cannot be attached: {error}") from None
        state.rank, state.world_size = rank, world_size
        if world_size == 1:
            log.info(
                "Distributed(%r): one process, as torchrun has not started several", self.strategy
            )
        reattach_main_only(trainer)

    def detached(self, trainer: TrainerProtocol) -> None:
        trainer.state.rank, trainer.state.world_size = 0, 1
        reattach_main_only(trainer)

    def around_run(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        if state.world_size == 1:
            if state.job == "fit":
                initialise_alone(state)
            yield
            return
        with ExitStack() as undo:
            number = undo.enter_context(joined(state.rank, state.world_size, self._patience))
            self._shards = LoaderShards(state.rank, state.world_size, self.seed)
            undo.enter_context(self._shards.undo)
            agree_to_run(lambda: self._prepared(trainer))
            undo.callback(setattr, self, "_joined", None)
            self._joined = JoinedLoaders() if self.uneven == "join" else None
            votes = control_group(str(number), (), self._release_group, self._patience)
            agreement = undo.enter_context(votes)
            if state.job == "fit":
                self._wrap_model(trainer, agreement, undo)
            known = None if self._joined else self._shards
            agreement.overlap = RunOverlap(self._model, known, self.vote_every)
            undo.callback(setattr, trainer, "agreement", None)
            trainer.agreement = agreement
            undo.enter_context(meeting_by(agreement.ask_meet))
            yield

    def run_refused(
        self, trainer: TrainerProtocol, state: TrainState, error: BaseException
    ) -> None:
        """Tell the other ranks, which are about to begin, what keeps this one from it."""
        if state.world_size == 1:
            return
        try:
            with joined(state.rank, state.world_size, self._patience):
                tell_all({"failed": failed_text(error)})
        except Exception as alone:
            add_note(error, f"trackside: the other ranks were not told: {first_line(alone)}")

    def _wrap_model(
        self, trainer: TrainerProtocol, agreement: ControlGroup, undo: ExitStack
    ) -> None:
        """Wrap it on all ranks; what fails on one, for which the others wait, ends all."""
        self._group = DataGroup(self._patience)
        undo.callback(self._group.end)
        options = self.strategy, self.blocks, self.mixed_precision, self.whole
        try:
            self._model = wrapped_model(trainer.state, self._group, *options)
        except Exception as error:
            let_go(error)
            is_first = agreement.abort()
            agreement.begin(error if is_first else None)
            raise
        undo.callback(self._unwrap_model, trainer, agreement)
        agreement.collective = self._model.collective
        self._model.follow(agreement)

    def _prepared(self, trainer: TrainerProtocol) -> Facts:
        """Check the handlers and shard the loaders; returns what must be equal on all ranks."""
        refuse_single(trainer.handlers)
        if not self.whole:
            check_saved(trainer.handlers)
        if self.shard:
            self._shards.shard(trainer.state)
        return {"begins": dict(trainer.begins), **facts_of(trainer, self)}

    def _unwrap_model(self, trainer: TrainerProtocol, agreement: ControlGroup) -> None:
        model, self._model = self._model, None
        assert model is not None
        has_ended = trainer.state.outcome != "failed" and not agreement.is_lost
        together = agreement.is_refused or has_ended
        model.close(trainer.state, modules_held(trainer), together, agreement.is_refused)

    def _release_group(self) -> None:
        """End the group of the gradients, so that the other ranks fail in it."""
        if self._model is not None:
            self._model.release()
        elif self._group is not None:
            self._group.end()

    def begin_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._model is not None:
            self._model.update(state)

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._model is not None and state.outcome != "failed":
            self._model.end_training(state)

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def fetch_and_count(state: TrainState) -> str:
            if state.world_size == 1:
                return fetch(state)
            trigger, joined = self._fetch(fetch, state)
            if trigger.startswith("begin_"):
                self._count(state, joined)
            return trigger

        return fetch_and_count

    def _fetch(self, fetch: Activity, state: TrainState) -> tuple[str, tuple[int, int] | None]:
        return (fetch(state), None) if self._joined is None else self._joined.fetch(fetch, state)

    def _count(self, state: TrainState, joined: tuple[int, int] | None) -> None:
        """Count the examples of all ranks, and none that is read because another rank has one."""
        loader = loader_of(state)
        self._counts = self._shards.counts(loader, state.batch_index) or joined
        read, state.global_batch_size = state.batch_size, 0
        everywhere = read * state.world_size
        if self._counts is not None:
            mine, everywhere = self._counts
            state.global_batch_size = everywhere
            if not mine:
                state.batch_size = 0
        if state.training:
            state.samples += everywhere - read

    def wrap_forward(self, forward: Activity) -> Activity:
        def forward_wrapped(state: TrainState) -> str:
            # without gradients the replicas need not wait for each other
            if self._model is None or not state.training or not torch.is_grad_enabled():
                return forward(state)
            model = state.model
            state.model = self._model.module(model)
            try:
                with self._model.reducing(ends_window(state, state.batches_per_step)):
                    return forward(state)
            except BaseException as error:
                let_go(error)
                raise
            finally:
                state.model = model

        return forward_wrapped

    def wrap_backward(self, backward: Activity) -> Activity:
        def weighted_backward(state: TrainState) -> str:
            model, counts, loss = self._model, self._counts, state.loss
            if model is None:
                return backward(state)
            state.loss = count_examples(counts, state.world_size, loss)
            try:
                model.begin_backward(state.loss)
                trigger = backward(state)
                model.have_gradients()
                return trigger
            finally:
                if counts is not None:
                    state.loss = loss
                model.end_backward()

        return weighted_backward
