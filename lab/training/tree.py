"""The plan of a run: a tree of segments of training, which conditions share as long as their settings agree.

What conditions share is trained once per seed and then forked. Conditions that agree throughout are one leaf.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from lab.config.experiment import Experiment
from lab.config.schema import Leaf
from lab.tasks.settings import Settings


@dataclass
class Node:
    """Segments of training shared by all conditions below them.

    Attributes:
        settings: of each segment; none for the root, which is before training.
        depth: index of the first segment.
        children: the next segments, by the settings of the first of them.
        leaves: digests of the distinct conditions whose training passes through here.
    """

    settings: tuple[Settings, ...]
    depth: int
    children: dict[Settings, "Node"] = field(default_factory=dict)
    leaves: set[Leaf] = field(default_factory=set)

    @property
    def end(self) -> int:
        """Index of the first segment behind these."""
        return self.depth + len(self.settings)


def plan(experiment: Experiment) -> Node:
    """Return the tree of segments of an experiment; its leaves are called by their digests.

    Conditions with other knobs never share a segment, because initial weights and scores may depend on them.

    Args:
        experiment: whose conditions they are.
    """
    root = Node((), 0)
    for leaf, condition in dict(zip(experiment.leaves, experiment.conditions, strict=True)).items():
        node = root
        node.leaves.add(leaf)
        for depth, settings in enumerate(condition.settings):
            node = node.children.setdefault(settings, Node((settings,), depth))
            node.leaves.add(leaf)
    return root


def merge_chains(node: Node, breaks: Collection[int] = ()) -> Node:
    """Merge every node below one with its only child, so that they are trained in one go; return the one.

    Args:
        node: root of a tree.
        breaks: indices of segments that begin a node of their own.
    """
    for child in node.children.values():
        while len(child.children) == 1 and child.end not in breaks:
            (below,) = child.children.values()
            child.settings, child.children = child.settings + below.settings, below.children
        merge_chains(child, breaks)
    return node


def used_terms(experiment: Experiment) -> frozenset[str]:
    """Return the loss terms that have a weight other than 0 in some segment of some condition.

    Args:
        experiment: whose conditions they are.
    """
    weights = np.array([segment.weights for condition in experiment.conditions for segment in condition.settings])
    columns = np.flatnonzero(np.any(weights != 0, axis=0))
    return frozenset(list(experiment.task.terms)[column] for column in columns)
