"""The work of `experiments.benchmarks.trainers` in PyTorch: one model at a time, and ensembles.

An ensemble is trained under vmap, by `torch.compile` of the same, and by `torch.compile` of arrays in which models lie
last and every product is a broadcast sum. Those two are measured at the number of models at which they are fastest.
"""

import functools
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import torch  # pyright: ignore[reportMissingImports]  # optional: pip install 'proxy-lab[benchmark]'
from torch.func import functional_call, grad, vmap  # pyright: ignore[reportMissingImports]  # the same

from lab.tasks import Scratchpad
from lab.words import Json

RATE, BETAS, EPSILON = 0.015, (0.9, 0.99), 1e-8  # of Adam, as `scratchpad` has them
SCALE = 0.3  # of initial weights, likewise
HIDDEN, INPUTS, ASKED_INPUTS, SYMBOLS, PROBLEMS = 32, 5, 4, 2, 16  # sizes of both networks and of their data
EAGER_STEPS, MODELS, ENSEMBLE_STEPS = 30, 512, 10  # in a turn
COMPILED_MODELS = {"first": (32, 128, 512), "last": (16, 64, 256)}  # tried, by the axis of models
COMPILED_STEPS = 12_800  # seed-steps of a turn, divided by the models
MOST_APART = 1e-5  # of two losses that are the same but for rounding in float32


class Data:
    """What both networks see, from the task itself."""

    def __init__(self, task: Scratchpad) -> None:
        knobs = default_knobs(task)
        self.rows = torch.tensor(np.asarray(task.rows(knobs)))
        contexts = np.asarray(task.contexts(knobs)[0])
        self.contexts = len(contexts)
        self.weights = torch.tensor(np.asarray(task.sample(jax.random.key(0), knobs)))
        truth = torch.tensor(np.where(task.hidden_bit > 0, 0, 1))
        self.truth = truth[:, None, None].expand(-1, len(contexts), 1)
        self.of_answer = torch.tensor(np.stack([task.hidden_bit < 0, task.hidden_bit > 0]).astype(np.float32))
        self.sign = torch.tensor([-1.0, 1.0])
        asked = [[*np.eye(2)[symbol], bit, *context] for symbol in (0, 1) for bit in (-1, 1) for context in contexts]
        self.asked = torch.tensor(np.array(asked, np.float32))
        self.preference = float(knobs["preference"])


class Model(torch.nn.Module):
    """The sender and the receiver of `scratchpad`; calling it gives the main loss."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self.data = data
        self.sender = network(INPUTS, SYMBOLS)
        self.receiver = network(ASKED_INPUTS, 1)
        for name, parameter in self.named_parameters():
            if "bias" in name:
                torch.nn.init.zeros_(parameter)
            else:
                torch.nn.init.normal_(parameter, 0, SCALE * (2 / parameter.shape[1]) ** 0.5)

    def forward(self) -> torch.Tensor:
        """Return the main loss."""
        data = self.data
        messages = torch.softmax(self.sender(data.rows), -1).reshape(PROBLEMS, data.contexts, SYMBOLS)
        answers = self.receiver(data.asked).reshape(2, 2, data.contexts)
        margins = answers[None] * (data.sign[:, None] * data.sign)[:, None, :, None]
        joint = torch.einsum("ax,xq,xqs->asq", data.of_answer, data.weights, messages)
        loss = (joint[:, :, None] * torch.nn.functional.softplus(-margins)).sum() / 2
        read = torch.gather(messages, 2, data.truth)[..., 0]
        return loss + data.preference * (data.weights * (1 - read)).sum()


def network(inputs: int, outputs: int) -> torch.nn.Sequential:
    """Return a network with one hidden layer."""
    return torch.nn.Sequential(torch.nn.Linear(inputs, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, outputs))


def default_knobs(task: Scratchpad) -> dict[str, jax.Array]:
    """Return the knobs of a task with their defaults."""
    return {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}


def check_same_loss(task: Scratchpad, model: Model) -> None:
    """End the program if a model and the lab's with the same parameters have different losses."""
    values = {name: np.asarray(value.detach()) for name, value in model.named_parameters()}

    def dense(name: str) -> Json:
        return {"kernel": jnp.asarray(values[f"{name}.weight"].T), "bias": jnp.asarray(values[f"{name}.bias"])}

    knobs = default_knobs(task)
    params = task.init(jax.random.key(0), knobs)
    for name in ("sender", "receiver"):
        layers = {"Dense_0": dense(f"{name}.0"), "Dense_1": dense(f"{name}.2")}
        params[name] = {"params": {**params[name]["params"], **layers}}
    batch = task.sample(jax.random.key(0), knobs)
    ours, theirs = float(task.losses(params, batch, knobs, jnp.float32(0))["main"]), float(model().detach())
    if abs(ours - theirs) > MOST_APART:
        raise SystemExit(f"not the same work: {ours} here, {theirs} in PyTorch")


def eager(model: Model) -> Callable[[], None]:
    """Return a function that trains one model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=BETAS)

    def train() -> None:
        for _ in range(EAGER_STEPS):
            optimizer.zero_grad()
            model().backward()
            optimizer.step()

    return train


def ensemble(model: Model) -> Callable[[], None]:
    """Return a function that trains many models under vmap, with an Adam written by hand."""
    models = [dict(Model(model.data).named_parameters()) for _ in range(MODELS)]
    stacked = {name: torch.stack([one[name].detach() for one in models]) for name in models[0]}
    means, squares = ({name: torch.zeros_like(value) for name, value in stacked.items()} for _ in range(2))
    slope = vmap(grad(lambda params: functional_call(model, params, ())))
    first_beta, second_beta = BETAS

    def train() -> None:
        for index in range(1, ENSEMBLE_STEPS + 1):
            slopes = slope(stacked)
            for name, value in stacked.items():
                means[name].mul_(first_beta).add_(slopes[name], alpha=1 - first_beta)
                squares[name].mul_(second_beta).addcmul_(slopes[name], slopes[name], value=1 - second_beta)
                root = (squares[name] / (1 - second_beta**index)).sqrt() + EPSILON
                value.sub_(RATE / (1 - first_beta**index) * means[name] / root)

    return train


def loss_lanes_last(data: Data, params: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the main losses of models that lie along the last axis of every parameter, added up."""

    def dense(rows: torch.Tensor, name: str) -> torch.Tensor:
        return (rows[:, None] * params[f"{name}.weight"][None]).sum(2) + params[f"{name}.bias"]

    def outputs(rows: torch.Tensor, name: str) -> torch.Tensor:
        return dense(torch.relu(dense(rows[..., None], f"{name}.0")), f"{name}.2")

    messages = torch.softmax(outputs(data.rows, "sender"), 1).unflatten(0, (PROBLEMS, data.contexts))
    answers = outputs(data.asked, "receiver").reshape(2, 2, data.contexts, -1)
    margins = answers[None] * (data.sign[:, None] * data.sign)[:, None, :, None, None]
    shares = data.of_answer[:, :, None] * data.weights
    joint = (shares[:, :, :, None, None] * messages[None]).sum(1).transpose(1, 2)
    loss = (joint[:, :, None] * torch.nn.functional.softplus(-margins)).sum() / 2
    read = (messages * torch.nn.functional.one_hot(data.truth[:, :, 0], SYMBOLS)[..., None]).sum(2)
    return loss + data.preference * (data.weights[..., None] * (1 - read)).sum()


def compiled(model: Model, axis: str, models: int) -> Callable[[int], None]:
    """Return a function that trains so many models for some steps, each step one function that inductor compiled."""
    data, first_beta, second_beta = model.data, *BETAS
    singles = [dict(Model(data).named_parameters()) for _ in range(models)]
    dim = 0 if axis == "first" else -1
    state = {name: torch.stack([one[name].detach() for one in singles], dim) for name in singles[0]}
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    if axis == "first":
        slope = vmap(grad(lambda params: functional_call(model, params, ())))
    else:
        slope = grad(lambda params: loss_lanes_last(data, params))
        apart = abs(float(loss_lanes_last(data, state)) / models - float(mean_loss(model, singles)))
        if apart > MOST_APART:
            raise SystemExit(f"not the same work: losses with models in the last axis are {apart} apart")

    @torch.compile(dynamic=False)
    def advance(params: Json, means: Json, squares: Json, undo: torch.Tensor) -> tuple[Json, Json, Json]:
        slopes = slope(params)
        means = {name: first_beta * means[name] + (1 - first_beta) * slopes[name] for name in params}
        squares = {name: second_beta * squares[name] + (1 - second_beta) * slopes[name] ** 2 for name in params}
        return (
            {
                name: value - RATE * means[name] * undo[0] / ((squares[name] * undo[1]).sqrt() + EPSILON)
                for name, value in params.items()
            },
            means,
            squares,
        )

    def train(steps: int) -> None:
        arrays = state, zeros, zeros
        for index in range(1, steps + 1):
            arrays = advance(*arrays, torch.tensor([1 / (1 - beta**index) for beta in BETAS]))

    return train


def mean_loss(model: Model, singles: list[dict[str, torch.nn.Parameter]]) -> torch.Tensor:
    """Return the mean of the main losses of models."""
    return torch.stack([functional_call(model, one, ()).detach() for one in singles]).mean()


def fastest(model: Model, axis: str) -> tuple[int, Callable[[int], None]]:
    """Return the number of models at which compiled training is fastest, and the function that trains so many."""
    rates = {}
    for models in COMPILED_MODELS[axis]:
        train, steps = compiled(model, axis, models), COMPILED_STEPS // models
        train(3)  # compiles
        started = time.perf_counter()
        train(steps)
        rates[models] = steps * models / (time.perf_counter() - started), train
    best = max(rates, key=lambda models: rates[models][0])
    return best, rates[best][1]


def contenders() -> dict[str, tuple[Callable[[], None], int]]:
    """Return the ways to train with PyTorch and the seed-steps of a turn, after checking that the work is the same."""
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # one program per number of models; what is beyond the limit runs eagerly
    task = Scratchpad()
    model = Model(Data(task))
    check_same_loss(task, model)
    works = {}
    for axis in COMPILED_MODELS:
        models, train = fastest(model, axis)
        steps = COMPILED_STEPS // models
        works[f"torch.compile, {models} models on the {axis} axis"] = functools.partial(train, steps), steps * models
    return {
        **works,
        "torch.func": (ensemble(model), MODELS * ENSEMBLE_STEPS),
        "PyTorch": (eager(model), EAGER_STEPS),
    }
