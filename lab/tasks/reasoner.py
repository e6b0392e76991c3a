"""`reasoner`: a small transformer writes a scratchpad before it answers; it can be faithful or a private code.

The game of `lab.tasks.messages`, played by one decoder-only transformer. It sees context tokens q and a problem
x in {-1, +1}^2 with a hidden bit a = x0 x1, and writes one scratchpad token. Then it sees its own token and a bit b,
and answers y = a b; from the scratchpad on, the problem is masked, so that the answer depends on it through the
scratchpad alone.

One sequence is q, x0, x1, scratchpad, b. The token is written at x1 and the answer given at b. To mask the problem
is to leave it out, so the exact expectation over inputs and tokens takes one pass over the prompts (q, x0, x1) and
(q, scratchpad, b) with the positions of the whole sequence. Seeds differ by their initial weights alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lab.tasks.base import Knobs, Params, Training, traits
from lab.tasks.messages import MessageTask, Said, game_knobs
from lab.tasks.models import Decoder, Dense, evaluate, scaled_normal

PROBLEMS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)


@dataclass(frozen=True)
class Reasoner(MessageTask):
    """One decoder writes and answers.

    Attributes:
        width: size of the residual stream; the MLPs are four times as wide. Wider models that learn the test late
            get stuck half-way more often.
        heads: attention heads of each layer; they divide the width.
        layers: number of layers.
        symbols: size of the alphabet, 2 or 3. The third symbol means nothing to the overseer.
        context_bits: number of tokens q, 1 to 3; the knob `detection_difficulty` says how many of them matter.
        embedding_scale: embeddings start as N(0, embedding_scale^2), other weights as N(0, 1 / fan_in).
    """

    width: int = 16
    heads: int = 2
    layers: int = 1
    symbols: int = 2
    context_bits: int = 1
    embedding_scale: float = 0.1

    name = "reasoner"
    problems = PROBLEMS
    base_knobs = game_knobs(preference=0, detectability=2, probe_weights=(-6.0, 11.8, -49.8, -11.1))
    training = Training(
        steps=800,
        optimizer="adam",
        learning_rate=0.003,
        final_learning_rate=1.0,
        momentum=0.9,
        block_width={"cpu": 64, "gpu": 4096},
    )

    def __post_init__(self) -> None:
        for field, low, high in (
            ("width", 1, 1024),
            ("heads", 1, 16),
            ("layers", 1, 8),
            ("symbols", 2, 3),
            ("context_bits", 1, 3),
        ):
            if not low <= getattr(self, field) <= high:
                raise ValueError(f"{field} must lie in {low} to {high}")
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if not 0 < self.embedding_scale <= 10:
            raise ValueError("embedding_scale must lie in (0, 10]")

    @property
    def reporter_width(self) -> int:
        """Hidden units of the reporter."""
        return self.width // 2 + 1

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Module and inputs of each part of the model but the reporter, by name."""
        init = scaled_normal(0.5**0.5)
        return {
            "decoder": Decoder(self.width, self.heads, self.layers, self.embedding_scale),
            "writer": Dense(self.symbols, kernel_init=init),
            "guesser": Dense(1, kernel_init=init),
            "answerer": Dense(1, kernel_init=init),
        }

    def prompts(self, knobs: Knobs) -> Float[Array, "rows length features"]:
        """Return the prompts (x, q), then (symbol, b, q), a row for each.

        A token's features are one-hot: a bit (-1, +1), a symbol, or a context bit with its size; then its position.
        """
        seen, *_ = self.contexts(knobs)
        size, bits = seen.shape
        kinds, positions = np.eye(3 + self.symbols, dtype=np.float32), np.eye(bits + 4, dtype=np.float32)

        def pairs(first: Sequence[int], second: Sequence[int], start: int) -> Float[np.ndarray, "pairs 2 features"]:
            rows = [(kinds[i], kinds[j]) for i in first for j in second]
            placed = np.broadcast_to(positions[start : start + 2], (len(rows), 2, bits + 4))
            return np.concatenate([np.array(rows), placed], axis=2)

        of_bit, of_symbol = (0, 1), range(2, 2 + self.symbols)
        asked = np.concatenate([pairs(of_bit, of_bit, bits), pairs(of_symbol, of_bit, bits + 2)])
        placed = np.broadcast_to(positions[:bits], (size, bits, bits + 4))
        context = jnp.concatenate([seen[:, :, None] * kinds[-1][None, None], placed], axis=2)
        parts = [jnp.tile(context, (len(asked), 1, 1)), np.repeat(asked, size, axis=0)]
        return jnp.concatenate(parts, axis=1)

    def init(self, key: Key[Array, ""], knobs: Knobs) -> Params:
        """Initial weights of every part."""
        inputs = {"decoder": self.prompts(knobs)}
        params = {
            name: module.init(jax.random.fold_in(key, index), inputs.get(name, jnp.zeros((1, self.width))))
            for index, (name, module) in enumerate(self.modules.items(), 2)
        }
        reporter = self.reporter.init(jax.random.fold_in(key, 6), jnp.zeros((1, self.reporter_inputs)))
        return {**params, "reporter": reporter, **traits(key)}

    def said(self, params: Params, knobs: Knobs) -> Said:
        """What the decoder writes and guesses at x1, and what it answers at b."""

        def part(name: str, rows: Float[Array, "rows ..."]) -> Float[Array, "rows _"]:
            return evaluate(self.modules[name], params[name], rows)

        size = 2**self.context_bits
        writing = 4 * size
        stream = part("decoder", self.prompts(knobs))
        return Said(
            jax.nn.softmax(part("writer", stream[:writing])).reshape(4, size, self.symbols),
            stream[:writing].reshape(4, size, self.width),
            part("guesser", stream[:writing]).reshape(4, size),
            part("answerer", stream[writing:]).reshape(self.symbols, 2, size),
        )
