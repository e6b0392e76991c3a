"""The keys that a YAML file may hold, with the type and the range of each; `lab schema` prints them."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema, model_validator

MAX_LANES = 10**8
MAX_SEED = 2**32
MAX_PHASES = 1_000  # of a regimen
OF_ACCEPTED = ("aligned_given_pass", "posterior_odds", "pass_rate", "expected_runs")  # known where rejected are not
# what results call their axes and what they say of each run
COORDINATES = ("condition", "regimen", "seed", "checkpoint", "spent", "survives", "stopped", "trained")
# what marks make of a run (`lab.outcomes.classify`), and how xarray stacks scores: no axis of a sweep, no score of a
# task may have one of these names, or the results could not be read
RESERVED = (*COORDINATES, "aligned", "passes", "incompetent", "diverged", "unjudged", "variable")

ONE, LIST, MAPPING = KINDS = "(one)", "(list)", "(mapping)"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=1e6)]
Weight = Annotated[float, Field(ge=-1e6, le=1e6)]


def _kind(value) -> str:
    """Return which alternative somebody meant, by what is there: only that one says what is wrong with it."""
    return LIST if isinstance(value, list) else MAPPING if isinstance(value, dict | BaseModel) else ONE


def _either(expected: str) -> Discriminator:
    """Choose among alternatives that are tagged by their kind; `expected` says what they are."""
    message = f"Input should be {expected}"
    return Discriminator(_kind, custom_error_type="kind", custom_error_message=message)


def _size(value) -> Any:
    """Return a static setting of a task as it is; its task knows more about it."""
    if not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("must be a number, a word, true or false")
    return value


SIZES = {"anyOf": [{"type": kind} for kind in ("number", "integer", "string", "boolean")]}
Size = Annotated[Any, PlainValidator(_size), WithJsonSchema(SIZES)]


class Strict(BaseModel):
    """Unknown keys, wrong types, nan and infinities are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Phase(Strict):
    """A stretch of training: it ends at `until`, or lasts for `lasts`, both as shares of the whole training.

    `rates` holds factors of the learning rate by part of the model (0 locks it in), or for `all` of them. `gates`
    holds the lowest score with which a run survives the end of the phase.
    """

    until: Share | None = None
    lasts: Share | None = None
    weights: dict[str, Weight] = {}
    knobs: dict[str, float] = {}
    rates: dict[str, Rate] = {}
    gates: dict[str, Share] = {}


class TrainingConfig(Strict):
    """How models are trained; what is left out comes from the task.

    `segments` is the number of equal segments or the list of their ends; scores are recorded at every end.
    """

    steps: Annotated[int, Field(ge=1, le=10**7)] | None = None
    optimizer: Literal["adam", "sgd"] | None = None
    learning_rate: Annotated[float, Field(ge=0, le=1e6)] | None = None
    final_learning_rate: Share | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    block_width: Annotated[int, Field(ge=1, le=2**20)] | None = None
    segments: Annotated[
        Annotated[int, Field(ge=1, le=400), Tag(ONE)] | Annotated[list[Share], Field(max_length=400), Tag(LIST)],
        _either("a whole number or a list of ends"),
    ] = 20


class Seeds(Strict):
    """The seeds first, first + 1, ..., first + count - 1."""

    first: Annotated[int, Field(ge=0, lt=MAX_SEED)] = 0
    count: Annotated[int, Field(ge=1, le=MAX_LANES)]


class Stop(Strict):
    """When to stop before the last seed: once every interval of `of` is at most `width` wide, or decides.

    Widths are of rates as they are and of everything else in nats. A decision needs `planned_looks` (Pocock's, five
    by default) or a `confidence_sequence`; training pauses at `looks` equally spaced numbers of seeds.
    """

    of: Literal[
        "net",
        "base_rate",
        "prior_odds",
        "pass_given_aligned",
        "pass_given_misaligned",
        "aligned_given_pass",
        "posterior_odds",
        "pass_rate",
        "expected_runs",
        "likelihood_ratio",
        "negative_likelihood_ratio",
        "odds_ratio",
    ] = "net"
    width: Annotated[float, Field(gt=0, le=1e3)] | None = None
    decided: Literal["planned_looks", "confidence_sequence"] | None = None
    looks: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _one_rule(self):
        if (self.width is None) == (self.decided is None):
            raise ValueError("needs either 'width' or 'decided'")
        if self.decided and self.of not in ("net", "likelihood_ratio"):
            raise ValueError(f"net or likelihood_ratio can be decided, not {self.of}")
        return self

    @property
    def planned(self):
        """Number of looks."""
        return self.looks or (5 if self.decided == "planned_looks" else 20)


class Axis(Strict):
    """One axis of a sweep: every key takes every value in turn."""

    key: Annotated[
        Annotated[str, Tag(ONE)] | Annotated[list[str], Field(min_length=1), Tag(LIST)],
        _either("a key or a list of keys"),
    ]
    values: Annotated[list[float], Field(min_length=1)]


class Config(Strict):
    """The text of an experiment, key by key. `lab schema` prints this as a JSON schema."""

    name: Name
    question: Annotated[str, Field(max_length=2000)] = ""
    task: Annotated[
        Annotated[str, Tag(ONE)] | Annotated[dict[str, Size], Tag(MAPPING)],
        _either("a name or a mapping with 'name' or 'file'"),
    ]
    knobs: dict[str, float] = {}
    weights: dict[str, Weight] = {}
    training: TrainingConfig = TrainingConfig()
    seeds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_LANES), Tag(ONE)] | Annotated[Seeds, Tag(MAPPING)],
        _either("a whole number or a mapping with 'count'"),
    ]
    stop: Stop | None = None
    proxy: str = "test"
    thresholds: dict[str, Share] = {}
    stop_rejected: bool = False
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    baseline: str | None = None
    regimens: Annotated[
        dict[Name, Annotated[list[Phase], Field(min_length=1, max_length=MAX_PHASES)]], Field(min_length=1)
    ]
    sweep: dict[
        Name,
        Annotated[
            Annotated[list[float], Tag(LIST)] | Annotated[Axis, Tag(MAPPING)],
            _either("a list of values or a mapping of 'key' and 'values'"),
        ],
    ] = {}
