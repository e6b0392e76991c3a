"""The flax modules that tasks are made of. Parameters stay plain pytrees: use `init` and `apply`."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import variance_scaling
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

FEW_OUTPUTS = 4  # of a kernel that is turned before a product


def scaled_normal(scale: float) -> Initializer:
    """Return an initialiser that draws N(0, (scale * sqrt(2 / fan_in))^2)."""
    return variance_scaling(2.0 * scale**2, "fan_in", "normal")


def evaluate(module: nn.Module, params: Any, *inputs: Any) -> Any:
    """Return what a module makes of its inputs; flax's own `apply` may also return state, which no module here has."""
    return module.apply(params, *inputs)


@jax.custom_jvp
def product(rows: Float[Array, "rows inputs"], kernel: Float[Array, "inputs outputs"]) -> Float[Array, "rows outputs"]:
    """Return `rows @ kernel` in forms that XLA multiplies fast on a CPU, and so its gradient by the kernel.

    That gradient sums over rows, which lie first in both of its factors, and for many small products of that form XLA
    takes a slow path. So the narrower factor is turned first, as is a kernel of few outputs. The barriers keep XLA from
    undoing that; they change no number.
    """
    if kernel.shape[1] <= FEW_OUTPUTS:
        return jnp.inner(jax.lax.optimization_barrier(kernel.T), rows).T
    return rows @ kernel


@product.defjvp
def _product_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (rows, kernel), (of_rows, of_kernel) = primals, tangents
    barrier = jax.lax.optimization_barrier
    if kernel.shape[0] <= kernel.shape[1]:
        by_kernel = jnp.einsum("ir,io->ro", barrier(rows.T), barrier(of_kernel))
    else:
        by_kernel = barrier(jnp.inner(barrier(of_kernel.T), rows)).T
    return product(rows, kernel), of_rows @ kernel + by_kernel


class Dense(nn.Module):
    """A dense layer with the parameters of flax's own, and `product` for a product.

    Attributes:
        features: number of outputs.
        use_bias: whether a bias is added.
        kernel_init: of the kernel.
        bias_init: of the bias.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array | np.ndarray, "*rows inputs"]) -> Float[Array, "*rows features"]:
        """Return the outputs of each row."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        outputs = product(jnp.reshape(x, (-1, x.shape[-1])), kernel)
        if self.use_bias:
            outputs += self.param("bias", self.bias_init, (self.features,))[None]
        return outputs.reshape(*x.shape[:-1], self.features)


@jax.custom_jvp
def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return ln(1 + exp(x)) to float32 rounding, by operations that XLA vectorises on a CPU: its `log1p` is not one.

    It is max(x, 0) + ln(1 + e) with e = exp(-|x|), and ln(1 + e) = 2 artanh(e / (2 + e)). That argument is at most 1/3,
    so eight terms of the series of artanh leave out less than 2e-9 of the value.
    """
    small = jnp.exp(-jnp.abs(x))
    argument = small / (2 + small)
    square, series = argument**2, jnp.full_like(x, 1 / 15)
    for power in (13, 11, 9, 7, 5, 3, 1):
        series = series * square + 1 / power
    return jnp.maximum(x, 0) + 2 * argument * series


@softplus.defjvp
def _softplus_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return softplus(*primals), jax.nn.sigmoid(*primals) * tangents[0]


def usable(
    hidden: Float[Array, "*rows units"], units: Float[Array, ""] | np.floating | None
) -> Float[Array, "*rows units"]:
    """Return a hidden layer whose units from a number on are 0; all of them count without a number."""
    if units is None:
        return hidden
    counts = (jnp.arange(hidden.shape[-1], dtype=jnp.float32) < units).astype(jnp.float32)
    return hidden * counts.reshape((1,) * (hidden.ndim - 1) + (-1,))


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
    def __call__(
        self, x: Float[Array, "rows inputs"], units: Float[Array, ""] | np.floating | None = None
    ) -> tuple[Float[Array, "rows _"], ...]:
        """Return the hidden layer and the outputs of each head.

        Args:
            x: inputs.
            units: how many hidden units count; all by default.
        """
        init = scaled_normal(self.scale)
        hidden = usable(nn.relu(Dense(self.width, kernel_init=init)(x)), units)
        return hidden, *(Dense(size, kernel_init=init)(hidden) for size in self.heads)


class Pathways(nn.Module):
    """Scalar pathways whose strength is a power of one weight: K = sign(p) |p|^depth.

    This is a deep linear chain of `depth` equal weights. Its gradient is depth |p|^(depth - 1), as in the
    two-pathway race of Kleinman, Achille and Soatto (ICLR 2024).

    Attributes:
        count: number of pathways.
    """

    count: int

    @nn.compact
    def __call__(self, depth: Float[Array, "*count"]) -> Float[Array, " count"]:
        """Return the strengths for a depth from 1 up, of all pathways or of each."""
        p = self.param("p", nn.initializers.zeros, (self.count,))
        depth = jnp.broadcast_to(depth, (self.count,))
        # one by one, because XLA does not vectorise a power whose exponents lie along a short axis
        return jnp.stack([weight * jnp.abs(weight) ** (power - 1) for weight, power in zip(p, depth, strict=True)])


class Decoder(nn.Module):
    """A decoder-only transformer without normalisation, asked for the stream at the last position alone.

    Attention has no biases. The last layer computes nothing at other positions than the last.

    Attributes:
        width: size of the residual stream; the hidden ReLU layer of each MLP is four times as wide.
        attention_heads: attention heads of each layer; they divide the width.
        layers: number of layers, from 1.
        embedding_scale: embeddings start as N(0, embedding_scale^2); other weights as N(0, 1 / fan_in), biases zero.
    """

    width: int
    attention_heads: int
    layers: int
    embedding_scale: float

    @nn.compact
    def __call__(self, tokens: Float[Array, "rows length features"]) -> Float[Array, "rows width"]:
        """Return the residual stream at the last position."""
        init = scaled_normal(0.5**0.5)
        rows, length, _ = tokens.shape
        depth = self.width // self.attention_heads

        def project(x: Float[Array, "rows positions width"]) -> Float[Array, "rows positions width"]:
            return Dense(self.width, use_bias=False, kernel_init=init)(x)

        def divide(x: Float[Array, "rows positions width"]) -> Float[Array, "rows positions heads depth"]:
            return x.reshape(rows, -1, self.attention_heads, depth)

        embedding = nn.initializers.normal(self.embedding_scale)
        stream = Dense(self.width, use_bias=False, kernel_init=embedding)(tokens)
        for layer in range(self.layers):
            asking = stream if layer < self.layers - 1 else stream[:, -1:]
            queries, keys, values = divide(project(asking)), divide(project(stream)), divide(project(stream))
            # the queries are those of the last positions
            visible = np.tri(queries.shape[1], length, length - queries.shape[1], dtype=bool)
            match = jnp.einsum("rqhd,rkhd->rhqk", queries, keys) / np.float32(depth**0.5)
            attention = nn.softmax(jnp.where(visible[None, None], match, -jnp.inf))
            mixed = jnp.einsum("rhqk,rkhd->rqhd", attention, values).reshape(rows, -1, self.width)
            stream = asking + project(mixed)
            hidden = nn.relu(Dense(4 * self.width, kernel_init=init)(stream))
            stream = stream + Dense(self.width, kernel_init=init)(hidden)
        return stream[:, -1]
