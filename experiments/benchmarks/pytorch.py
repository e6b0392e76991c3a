"""The work of `experiments.benchmarks.trainers` in PyTorch: one model at a time, and an ensemble under vmap."""

from collections.abc import Callable

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


def contenders() -> dict[str, tuple[Callable[[], None], int]]:
    """Return the ways to train with PyTorch and the seed-steps of a turn, after checking that the work is the same."""
    torch.set_num_threads(1)
    task = Scratchpad()
    model = Model(Data(task))
    check_same_loss(task, model)
    return {
        "torch.func": (ensemble(model), MODELS * ENSEMBLE_STEPS),
        "PyTorch": (eager(model), EAGER_STEPS),
    }
