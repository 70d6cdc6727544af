"""The interface of a trainer that handlers may use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack, overload

from .agreement import Agreement
from .bus.attachment import Attachment
from .bus.explanation import Explanation
from .bus.publisher import Instrument
from .bus.receiver_types import F, Options, S, T
from .bus.signal import Signal
from .cancel import Cancel
from .handler_protocols import AnyHandler
from .signal_names import OwnName, PayloadName, ScopeName, SignalName
from .state import TrainState

if TYPE_CHECKING:
    import torch


class Chart(Protocol):
    """The chart of a trainer's fit."""

    @property
    def rows(self) -> Sequence[tuple[str, str | tuple[str, ...], str]]:
        """Trigger, source or sources, destination."""

    @property
    def roles(self) -> Mapping[str, str]:
        """What its scopes are for, by their names; see `roles`."""

    @property
    def trained(self) -> Collection[str]:
        """The names of the optimizers that its scopes train; empty if none says a name."""


class Manifest(Protocol):
    """The description of a checkpoint."""

    @property
    def step(self) -> int:
        """Number of optimizer updates when it was saved."""

    @property
    def facts(self) -> dict[str, Any]:
        """The JSON that it was saved with."""


class Peers(Protocol):
    """All ranks of a fit, as the writers of a checkpoint meet; also in another thread."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    def exchange(self, text: str) -> list[str]:
        """The texts of all ranks, which call it together.

        Raises:
            PeerError: a rank is lost.
        """


class CheckpointFolder(Protocol):
    """A folder of checkpoints; each is written completely or not at all."""

    @property
    def written(self) -> Mapping[Path, Manifest]:
        """The checkpoints in the folder, oldest first."""

    def open(self, new: bool = False) -> None:
        """Create and lock the folder, and delete unfinished checkpoints of killed processes.

        Args:
            new: refuse a folder that already contains checkpoints.
        """

    def close(self) -> None:
        """Unlock the folder."""

    def copied(self, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of a state dict in CPU memory, which training does not change."""

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> Path:
        """Write a checkpoint and return its path; afterwards it survives a power cut."""

    def save_jointly(
        self, state: dict[str, Any], step: int, facts: dict[str, Any], peers: Peers
    ) -> None:
        """Write a checkpoint of all ranks, which call it together."""

    def load_validated(self, path: Path, state: TrainState) -> None:
        """Load the weights that were validated when a checkpoint was saved into the model."""

    def keep(self, wanted: Collection[Path]) -> None:
        """Delete every checkpoint that is not in `wanted`."""


class Stretch(Protocol):
    """The rows of the live batch from `forward` to `backward`, and what stands between them."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing stands between, and no signal of its rows has a receiver now.

        Cheap enough for every batch.
        """

    def obstacles(self) -> list[str]:
        """What stands between, in words; empty if nothing does."""


class TrainerProtocol(Protocol):
    """The sender of every signal: the first argument of a receiver."""

    agreement: Agreement | None
    """With whom its runs agree; a handler that joins several processes sets it before a run."""

    begins: Mapping[str, str]
    """Where the live run begins, or the last one: equal on all ranks, but for the entry "from"."""

    @property
    def state(self) -> TrainState:
        """The second argument of every receiver."""

    @property
    def name(self) -> str:
        """The name by which modules subscribe; empty if it has none."""

    @property
    def signals(self) -> Mapping[str, Signal]:
        """The signals that it sends, by name."""

    @property
    def handlers(self) -> list[Any]:
        """Attached handlers and subscribed functions, in order of attachment."""

    @property
    def topology(self) -> Chart:
        """The chart of its fit."""

    @property
    def is_closing(self) -> bool:
        """True while a cancel or an error closes scopes, or will at the next transition."""

    def attach(self, handler: AnyHandler | str) -> Attachment:
        """Subscribe the methods of a handler."""

    def detach(self, subscribed: Any) -> None:
        """Detach a handler or a function."""

    @overload
    def on(  # type: ignore[overload-overlap]  # as in Publisher
        self, name: Literal["any_transition"], **how: Unpack[Options]
    ) -> Callable[[T], T]: ...
    @overload
    def on(self, name: PayloadName | OwnName, **how: Unpack[Options]) -> Callable[[F], F]: ...
    def on(
        self,
        name: str,
        *,
        every: int = 1,
        once: bool = False,
        when: Callable[[Any, Any], bool] | None = None,
        inside: str | None = None,
    ) -> Callable[[Any], Any]:
        """Subscribe a function to the signal `name`."""

    def within(self, scope: ScopeName | OwnName) -> Callable[[S], S]:
        """Subscribe a generator function that is open as long as `scope`."""

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace activity `name` by `wrapper(activity)`; returns a function that undoes it."""

    def instrument(self, around: Instrument) -> Callable[[], None]:
        """Replace each receiver by `around(receiver, transition)`; returns its undo function."""

    def explain(self, name: SignalName | str) -> Explanation:
        """The receivers of the signal `name`, in order, each with the reason."""

    def request(self, cancel: Cancel) -> None:
        """Request a cancel from any thread; it is raised at the next transition."""

    def state_dict(self, *, shards: bool = False) -> dict[str, Any]:
        """Capture the complete training state, from which a fit resumes."""

    def checkpoints(self, folder: str | Path) -> CheckpointFolder:
        """The folder object that writes this trainer's checkpoints."""

    def forward_training_data(
        self,
        around_batch: Callable[[TrainState], AbstractContextManager[None]],
        of: str | None = None,
    ) -> int:
        """Run the model on the training data once more, in train mode and without gradients.

        Batches are moved and split, and the activity `forward` runs in its wraps, as in training;
        no signal is sent, and the state is restored afterwards. For a handler, while a fit runs.

        Args:
            around_batch: the context in which `forward` runs for a batch; a cancel of the batch
                that it raises leaves the batch out, any other cancel ends the pass.
            of: name of the model, of a trainer with several.

        Returns:
            The number of examples.
        """

    @property
    def can_be_split(self) -> bool:
        """Whether the inputs of the live batch have more than one example, and can be split."""

    def forward_in_parts(self, forward: Callable[[TrainState], str], size: int) -> str:
        """Run `forward` on the live batch, `size` examples at a time.

        `pred` is that of the whole batch. Each part runs once more in the backward pass, so that
        one at a time keeps its activations. Raises: ValueError, if outputs cannot be joined.
        """

    def recomputed(
        self, function: Callable[..., Any], module: torch.nn.Module
    ) -> Callable[..., Any]:
        """Wrap `function`, which calls `module`, to keep no activations: backward calls it again.

        The second call draws the same random numbers, and does not update running statistics.
        """

    def stretch(self, owner: object) -> Stretch:
        """The rows from the live activity `forward`, which calls this, to `backward`.

        It holds until an activity is wrapped or unwrapped, or the run ends. Obstacles are: a
        receiver of a signal between the two, a wrap of one of the activities, an activity of the
        author's own, a callback on a row of the machine, a host that makes single transitions,
        several processes, several models or optimizers.

        Args:
            owner: the handler that asks; its own wraps are no obstacles.
        """

    def rewrap(self) -> None:
        """Wrap the activities of the live run anew: each wrap is called with its activity again.

        So a wrap that now returns the activity that it is called with costs nothing from here on.
        """

    def rng_kept(self, loader: Any) -> AbstractContextManager[None]:
        """Restore every random number generator when the block is left."""
