"""The keys that a YAML file may hold, with the type and the range of each; `lab schema` prints them."""

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema, model_validator

from lab.config.source import MAX_BYTES
from lab.statistics.sequential import DECIDES, STOPS

MAX_CONDITIONS = 100_000
MAX_WORLDS = 50_000
MAX_LANES = 10**8
MAX_SEED = 2**32
MAX_PHASES = 1_000  # of a regimen
MAX_SEGMENTS = 400
MAX_SHARDS = 10**6
MAX_TEXT = 2_000  # characters of a question or of the name of a condition
MAX_WEIGHT = 10**6
MAX_RATE = 1e6  # of a learning rate, or of a factor of one
# what results call their axes and what they say of each run
COORDINATES = (
    *("condition", "regimen", "seed", "checkpoint", "spent", "survives", "stopped", "trained"),
    *("group", "cost"),  # of runs that were trained elsewhere
)
# what marks make of a run (`lab.results.outcomes.classify`), and what makes xarray take an array for a dict: no axis of
# a sweep, no score of a task may have one of these names, or the results could not be read
RESERVED = (*COORDINATES, "aligned", "passes", "incompetent", "diverged", "unjudged", "keys")

WORLD = "world"  # the coordinate that tells worlds apart
WAYS = ("between", "log", "choose")  # in which a value can be drawn
ONE, LIST, MAPPING = KINDS = "(one)", "(list)", "(mapping)"

# what is trained on beside the main objective: loss term -> (share of training where it ends, weight) of each stretch
Schedule = dict[str, list[tuple[float, float]]]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=MAX_RATE)]
Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
if TYPE_CHECKING:
    StopBy = str  # a type checker takes no name that is known only when the registry of quantities has been read
else:
    StopBy = Literal[STOPS]


def _kind(value: object) -> str:
    """Return which alternative somebody meant, by what is there: only that one says what is wrong with it."""
    return LIST if isinstance(value, list) else MAPPING if isinstance(value, dict | BaseModel) else ONE


def _either(expected: str) -> Discriminator:
    """Choose among alternatives that are tagged by their kind; `expected` says what they are."""
    message = f"Input should be {expected}"
    return Discriminator(_kind, custom_error_type="kind", custom_error_message=message)


def _size(value: object) -> str | bool | int | float:
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
    learning_rate: Rate | None = None
    final_learning_rate: Share | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    block_width: Annotated[int, Field(ge=1, le=2**20)] | None = None
    segments: Annotated[
        Annotated[int, Field(ge=1, le=MAX_SEGMENTS), Tag(ONE)]
        | Annotated[list[Share], Field(max_length=MAX_SEGMENTS), Tag(LIST)],
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

    of: StopBy = "net"
    width: Annotated[float, Field(gt=0, le=1e3)] | None = None
    decided: Literal["planned_looks", "confidence_sequence"] | None = None
    looks: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.width is None) == (self.decided is None):
            raise ValueError("needs either 'width' or 'decided'")
        if self.decided and self.of not in DECIDES:
            raise ValueError(f"{' or '.join(DECIDES)} can be decided, not {self.of}")
        return self

    @property
    def planned(self) -> int:
        """Number of looks."""
        return self.looks or (5 if self.decided == "planned_looks" else 20)


Keys = Annotated[
    Annotated[str, Tag(ONE)] | Annotated[list[str], Field(min_length=1), Tag(LIST)],
    _either("a key or a list of keys"),
]


class Axis(Strict):
    """One axis of a sweep: every key takes every value in turn."""

    key: Keys
    values: Annotated[list[float], Field(min_length=1)]


Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class Draw(Strict):
    """How a value is drawn: uniformly `between` two numbers, uniformly in its logarithm, or from a list of choices."""

    between: Range | None = None
    log: Range | None = None
    choose: Annotated[list[float], Field(min_length=1, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in WAYS if getattr(self, way) is not None]
        if len(ways) != 1:
            raise ValueError(f"needs one of {', '.join(map(repr, WAYS))}, and only one")
        return self


class DrawnKey(Draw):
    """A value that keys of the config take, drawn once per world."""

    key: Keys


class Worlds(Strict):
    """Worlds drawn at random: in each, every knob and key that is named here has one value, the same in all regimens.

    The points are those of a scrambled Sobol sequence.
    """

    count: Annotated[int, Field(ge=1, le=MAX_WORLDS)]
    seed: Annotated[int, Field(ge=0, lt=MAX_SEED)] = 0
    knobs: dict[
        str,
        Annotated[
            Annotated[Range, Tag(LIST)] | Annotated[Draw, Tag(MAPPING)],
            _either("a range [low, high] or a mapping of 'between', 'log' or 'choose'"),
        ],
    ] = {}
    keys: dict[Name, DrawnKey] = {}


class Config(Strict):
    """The text of an experiment, key by key. `lab schema` prints this as a JSON schema."""

    name: Name
    question: Annotated[str, Field(max_length=MAX_TEXT)] = ""
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
    worlds: Worlds | None = None


# --- what a stored run says of itself ---------------------------------------------------------------------------------

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Leaf = Annotated[str, Field(pattern=r"^([0-9a-f]{16}|c[0-9]{4,8})$")]
Version = Annotated[str, Field(max_length=10_000)]
Identity = dict[Text, Version]
Whole = Annotated[int, Field(ge=0, le=MAX_LANES)]


class StoredCondition(Strict):
    """A condition as a manifest lists it; `leaf` names the shards that hold its models.

    Runs of earlier versions say nothing of their schedule.
    """

    name: Text
    regimen: Text
    coordinates: dict[Text, float]
    knobs: dict[Text, float]
    gates: list[tuple[Share, Text, Share]] = []
    schedule: dict[Text, list[tuple[Share, Weight]]] | None = None
    leaf: Leaf


class SeedsSoFar(Strict):
    """The seeds first, ..., first + count - 1, as far as the run is planned."""

    first: Annotated[int, Field(ge=0, lt=MAX_SEED)]
    count: Annotated[int, Field(ge=1, le=MAX_LANES)]


class Manifest(Strict):
    """What a stored run says of itself, checked as strictly as a config before anything else is read or made."""

    format: Literal[2, 3]
    name: Name
    hash: Digest
    trains: Digest | None = None
    question: Annotated[str, Field(max_length=MAX_TEXT)]
    source: Annotated[str, Field(max_length=2 * MAX_BYTES)] = ""
    config: Config
    scores: Annotated[list[Text], Field(min_length=2, max_length=1000)]
    checkpoints: Annotated[list[Share], Field(min_length=1, max_length=MAX_SEGMENTS)]
    seeds: SeedsSoFar
    looks: Annotated[list[Annotated[int, Field(ge=1, le=MAX_LANES)]], Field(min_length=1, max_length=100)]
    leaf_seeds: dict[Leaf, Annotated[int, Field(ge=0, le=MAX_LANES)]] | None = None
    proxy: Text
    thresholds: dict[Text, Share]
    baseline: Text
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)]
    conditions: Annotated[list[StoredCondition], Field(min_length=1, max_length=MAX_CONDITIONS)]
    identity: Identity
    block_width: Annotated[int, Field(ge=1, le=2**20)]
    changes: list[list[Version]] = []
    accepted: list[Digest] = []

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Whatever one part says of another is true."""
        leaves = {condition.leaf for condition in self.conditions}
        names = {condition.name for condition in self.conditions}
        regimens = {condition.regimen for condition in self.conditions}
        blocks = -(-self.seeds.count // self.block_width)
        unknown = {name for _, name, _ in (gate for condition in self.conditions for gate in condition.gates)}
        unknown = (unknown | {self.proxy, *self.thresholds, "competence", "alignment"}) - set(self.scores)
        shares = {share for condition in self.conditions for share, _, _ in condition.gates} - set(self.checkpoints)
        wrong = {
            "trains: is missing": self.format > 2 and self.trains is None,
            f"scores: none is called {', '.join(sorted(unknown))}": bool(unknown),
            "scores: one is there twice": len(set(self.scores)) < len(self.scores),
            "thresholds: competence, alignment and the proxy need one": (
                not {"competence", "alignment", self.proxy} <= self.thresholds.keys()
            ),
            "checkpoints: they must rise from above 0 to 1": (
                [0.0, *self.checkpoints] != sorted({0.0, *self.checkpoints}) or self.checkpoints[-1] != 1
            ),
            f"conditions: a gate at {min(shares, default=0):g}, where there is no checkpoint": bool(shares),
            "conditions: two have the same name": len(names) < len(self.conditions),
            "conditions: they have unlike knobs": len({tuple(condition.knobs) for condition in self.conditions}) > 1,
            "baseline: no condition has that regimen": self.baseline not in regimens,
            f"seeds: they must stay below {MAX_SEED}": self.seeds.first + self.seeds.count > MAX_SEED,
            f"seeds: more than the limit of {MAX_LANES:,} runs": len(self.conditions) * self.seeds.count > MAX_LANES,
            f"seeds: more than the limit of {MAX_SHARDS:,} shards": len(leaves) * blocks > MAX_SHARDS,
            "looks: they must rise, and the seeds so far be one of them": (
                any(one >= other for one, other in itertools.pairwise(self.looks)) or self.seeds.count not in self.looks
            ),
            "leaf_seeds: they must be those of the conditions' leaves, and at most all seeds": (
                self.leaf_seeds is not None
                and (self.leaf_seeds.keys() != leaves or max(self.leaf_seeds.values()) > self.seeds.count)
            ),
        }
        if problem := next((problem for problem, is_so in wrong.items() if is_so), None):
            raise ValueError(problem)
        return self


class StoredJudge(Strict):
    """How well a measured truth is known: each a number, or how many were right of how many in a validation."""

    sensitivity: Share | tuple[Whole, Whole]
    specificity: Share | tuple[Whole, Whole]


class ObservedManifest(Strict):
    """What a run that was trained elsewhere says of itself: no task, no config, no steps, no seeds."""

    format: Literal[3]
    kind: Literal["observed"]
    name: Name
    hash: Digest
    question: Annotated[str, Field(max_length=MAX_TEXT)]
    source: Annotated[str, Field(max_length=MAX_TEXT)]
    scores: Annotated[list[Text], Field(min_length=2, max_length=1000)]
    proxy: Text
    thresholds: dict[Text, float]
    below: list[Text]
    columns: dict[Text, Text]
    words: dict[Text, list[Text]]
    baseline: Text
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)]
    conditions: Annotated[list[Text], Field(min_length=1, max_length=MAX_CONDITIONS)]
    judge: StoredJudge | None
    read: Annotated[int, Field(ge=1, le=MAX_LANES)]
    left_out: Annotated[int, Field(ge=0, le=MAX_LANES)]
    table: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Whatever one part says of another is true."""
        known = set(self.scores)
        wrong = {
            "scores: one is there twice": len(known) < len(self.scores),
            "thresholds: every score needs one": self.thresholds.keys() != known,
            "scores: there must be competence, alignment and the proxy": not {"competence", "alignment", self.proxy}
            <= known,
            "below, words: of scores only": not {*self.below, *self.words} <= known,
            "conditions: two have the same name": len(set(self.conditions)) < len(self.conditions),
            "baseline: no condition has that name": self.baseline not in self.conditions,
        }
        if problem := next((problem for problem, is_so in wrong.items() if is_so), None):
            raise ValueError(problem)
        return self
