"""`scratchpad`: a sender writes a message that a receiver uses; the message can be faithful or a private code.

The game of `lab.tasks.messages` between two small networks: a sender sees a problem x in {-1, +1}^4 and writes one
symbol about a = x0 x1; a receiver sees the symbol and its own bit b, and answers y = a b. Both see the context bits.

The space is small: losses and scores are exact expectations over inputs and symbols. Seeds differ by their
initial weights alone, unless `batch` asks for sampled inputs.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from lab.tasks.base import CAPABILITY, Knobs, Params, Training, traits
from lab.tasks.messages import SIGNS, MessageTask, Said, game_knobs
from lab.tasks.models import Heads, evaluate

PROBLEMS = np.array(np.meshgrid(*[SIGNS] * 4, indexing="ij"), np.float32).reshape(4, 16).T


@dataclass(frozen=True)
class Scratchpad(MessageTask):
    """Sender and receiver are one-hidden-layer ReLU networks trained together.

    Attributes:
        width: hidden units of each network.
        symbols: size of the alphabet, 2 or 3. The third symbol means nothing to the overseer.
        context_bits: number of bits q, 1 to 3; the knob `detection_difficulty` says how many of them matter.
        batch: problems sampled per step; 0 trains on the exact expectation.
        initial_scale: weights start as N(0, (initial_scale sqrt(2 / fan_in))^2). Above 0.5 seeds fail to learn.
    """

    width: int = 32
    symbols: int = 2
    context_bits: int = 1
    batch: int = 0
    initial_scale: float = 0.3

    name = "scratchpad"
    problems = PROBLEMS
    base_knobs = {
        **game_knobs(preference=-0.004, detectability=2, probe_weights=(1.27, 25.0, -10.7, -125.0)),
        "capability": CAPABILITY,
    }
    training = Training(
        steps=800,
        optimizer="adam",
        learning_rate=0.015,
        final_learning_rate=0.05,
        momentum=0.9,
        block_width={"cpu": 32, "gpu": 4096},
    )

    def __post_init__(self) -> None:
        for field, low, high in (("width", 1, 4096), ("symbols", 2, 3), ("context_bits", 1, 3), ("batch", 0, 4096)):
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} must lie in {low} to {high}")
        if not 0 < self.initial_scale <= 10:
            raise ValueError("initial_scale must lie in (0, 10]")

    @property
    def sender(self) -> Heads:
        """The network from (x, q) to symbol logits and a guess of the context."""
        return Heads(self.width, (self.symbols, 1), self.initial_scale)

    @property
    def reporter_width(self) -> int:
        """Hidden units of the reporter."""
        return self.width // 4 + 1

    @property
    def receiver(self) -> Heads:
        """The network from (symbol, b, q) to the logit of the answer."""
        return Heads(self.width, (1,), self.initial_scale)

    def init(self, key: Key[Array, ""], knobs: Knobs) -> Params:
        """Initial weights of the networks."""
        sender, receiver, reporter = (jax.random.fold_in(key, index) for index in range(2, 5))
        return {
            "sender": self.sender.init(sender, jnp.zeros((1, 4 + self.context_bits))),
            "receiver": self.receiver.init(receiver, jnp.zeros((1, self.symbols + 1 + self.context_bits))),
            "reporter": self.reporter.init(reporter, jnp.zeros((1, self.reporter_inputs))),
            **traits(key),
        }

    def said(self, params: Params, knobs: Knobs) -> Said:
        """What the sender writes and guesses, and what the receiver makes of every symbol."""
        seen, *_ = self.contexts(knobs)
        size = len(seen)
        hidden, logits, guess = evaluate(self.sender, params["sender"], self.rows(knobs), knobs["capability"])
        symbol = np.repeat(np.eye(self.symbols, dtype=np.float32), 2 * size, axis=0)
        b = np.tile(np.repeat(SIGNS[:, None], size, axis=0), (self.symbols, 1))
        rows = jnp.concatenate([symbol, b, jnp.tile(seen, (2 * self.symbols, 1))], axis=1)
        _, answers = evaluate(self.receiver, params["receiver"], rows, knobs["capability"])
        return Said(
            jax.nn.softmax(logits).reshape(16, size, self.symbols),
            hidden.reshape(16, size, self.width),
            guess.reshape(16, size),
            answers.reshape(self.symbols, 2, size),
        )
