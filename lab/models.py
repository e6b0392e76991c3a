"""The flax modules that tasks are made of. Parameters stay plain pytrees: use `init` and `apply`."""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import variance_scaling


def scaled_normal(scale):
    """Return an initialiser that draws N(0, (scale * sqrt(2 / fan_in))^2)."""
    return variance_scaling(2.0 * scale**2, "fan_in", "normal")


class Heads(nn.Module):
    """One hidden ReLU layer with several linear heads.

    Every head has weights of its own, because the gradient of a slice of one wide head is slow on CPU.

    Attributes:
        width: hidden units.
        heads: output size of each head.
        scale: initial weights are N(0, (scale * sqrt(2 / fan_in))^2), biases zero.
    """

    width: int
    heads: tuple[int, ...]
    scale: float

    @nn.compact
    def __call__(self, x):
        """Map x of shape (rows, inputs) to one array of shape (rows, outputs) per head."""
        init = scaled_normal(self.scale)
        hidden = nn.relu(nn.Dense(self.width, kernel_init=init)(x))
        return tuple(nn.Dense(size, kernel_init=init)(hidden) for size in self.heads)


class Pathways(nn.Module):
    """Scalar pathways whose strength is a power of one weight: K = sign(p) |p|^depth.

    This is a deep linear chain of `depth` equal weights. Its gradient is depth |p|^(depth - 1), as in the
    two-pathway race of Kleinman, Achille and Soatto (ICLR 2024).

    Attributes:
        count: number of pathways.
    """

    count: int

    @nn.compact
    def __call__(self, depth):
        """Return the strengths, shape (count,), for a scalar depth >= 1."""
        p = self.param("p", nn.initializers.zeros, (self.count,))
        return p * jnp.abs(p) ** (depth - 1)
