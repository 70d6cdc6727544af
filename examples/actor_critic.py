"""Learn to balance the pole of gymnasium's CartPole: rollout, advantage, update.

    pip install 'trackside[examples]'
    trackside fit examples/actor_critic.py:job

The loop makes its own data. A batch plays a game in each of GAMES environments, finds out which
actions were better than expected, and is then trained on PASSES times: the phase after the update
begins it again. Source: John Schulman and others, "Proximal Policy Optimization Algorithms", 2017
"""

from dataclasses import dataclass

import gymnasium
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from trackside import CosineWarmup, Job, LimitBatches, Metrics, Trainer, TrainState
from trackside.engine import SUPERVISED, set_batch, update

GAMES, PASSES, ROLLOUTS, DISCOUNT, SMOOTHING, CLIP = 16, 10, 50, 0.99, 0.95, 0.2
PLAY = [
    ("played", "fit.epoch.train.batch.ready", "fit.epoch.train.batch.advantage"),
    ("begin_improve", "fit.epoch.train.batch.advantage", "fit.epoch.train.batch.improve.forward"),
]
CHART = SUPERVISED.cut("validate").replace("batch", update("improve")).plus(PLAY)


@dataclass(slots=True, eq=False, repr=False)
class GameState(TrainState):
    """Also has how often the batch was trained on."""

    passes: int = 0


class ActorCritic(nn.Module):
    """For observations `(…, 4)` the logits `(…, 2)` of the actions, and the expected return."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = (
            nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), last)
            for last in (nn.Linear(64, 2), nn.Linear(64, 1))
        )

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(seen), self.critic(seen).squeeze(-1)


@torch.no_grad()
def rollout(model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Play GAMES games: observations, actions, and whether a game was not over, `(T, GAMES, …)`."""
    games = gymnasium.make_vec("CartPole-v1", GAMES, vectorization_mode="vector_entry_point")
    seen, _ = games.reset(seed=int(torch.randint(2**31, ())))
    alive, played = torch.ones(GAMES, dtype=torch.bool), []
    while alive.any():
        observed = torch.tensor(seen)
        action = model(observed)[0].softmax(1).multinomial(1).squeeze(1)
        played.append((observed, action, alive))
        seen, _, fallen, late, _ = games.step(action.numpy())
        alive = alive & ~torch.tensor(fallen | late)
    seen, actions, alive = map(torch.stack, zip(*played, strict=True))
    return seen, actions, alive


def log_prob_of(logits: Tensor, actions: Tensor) -> Tensor:
    """The log probability of each action, from logits `(…, 2)`."""
    return logits.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def targets(model: nn.Module, seen: Tensor, actions: Tensor, alive: Tensor) -> list[Tensor]:
    """Actions, their log probability, how much better they were than expected, and returns."""
    logits, value = model(seen)
    follows = torch.cat([alive[1:], torch.zeros_like(alive[:1])])
    follows[-1] = alive[-1] & (len(alive) == 500)  # cut off, not fallen: more would have come
    after = torch.cat([value[1:], value[-1:]]) * follows
    better = 1 + DISCOUNT * after - value
    advantage = torch.zeros_like(value)
    for t in reversed(range(len(value))):
        later = advantage[t + 1] if t + 1 < len(value) else 0.0
        advantage[t] = better[t] + DISCOUNT * SMOOTHING * follows[t] * later
    log_prob = log_prob_of(logits, actions)
    return [part[alive] for part in (actions, log_prob, advantage, advantage + value)]


def loss_of(pred: tuple[Tensor, Tensor], target: list[Tensor]) -> Tensor:
    """The clipped loss of the actor, that of the critic, and a reward for drawing at random."""
    (logits, value), (actions, before, advantage, returns) = pred, target
    ratio = (log_prob_of(logits, actions) - before).exp()
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    gain = torch.min(ratio * scaled, ratio.clamp(1 - CLIP, 1 + CLIP) * scaled)
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    return mse_loss(value, returns) / 100 - gain.mean() - 0.01 * entropy.mean()


def begin(state: GameState) -> str:
    """Begin another batch; LimitBatches ends them."""
    state.batch_index += 1
    return "begin_batch"


def play(state: GameState) -> str:
    """Play a game in each environment."""
    state.batch = rollout(state.model)
    state.report(mean_return=state.batch[2].sum() / GAMES)
    return "played"


def judge(state: GameState) -> str:
    """Make the inputs and the targets of the updates."""
    seen, _, alive = state.batch
    set_batch(state, (seen[alive], targets(state.model, *state.batch)))
    state.samples, state.passes = state.samples + state.batch_size, 0
    return "begin_improve"


def again(state: GameState) -> str:
    """Train once more on what was played, or end the batch."""
    state.passes += 1
    return "begin_improve" if state.passes < PASSES else "after_batch"


ACTIVITIES = {"train.fetch": begin, "batch.ready": play, "advantage": judge, "improve_done": again}


def job() -> Job:
    """The network; the loop makes its own batches, and needs no loader."""
    torch.manual_seed(0)
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    handlers = [LimitBatches(ROLLOUTS), CosineWarmup(), Metrics()]
    trainer = Trainer(
        model, loss_of, optimizer, handlers, chart=CHART, activities=ACTIVITIES, state=GameState
    )
    return Job(trainer)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(epochs=todo.epochs).metrics)
