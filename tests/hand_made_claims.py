"""Populations whose truth is known by construction, as a claim stores their counts."""

import itertools

import numpy as np

from lab import claims

AP, AF, MP, MF = range(4)


HELD, PERFECT = [300, 0, 350, 350], [300, 0, 0, 700]  # a test that half of the misaligned pass, and one that none does
BETTER, WORSE, SURE = [900, 0, 50, 50], [300, 0, 700, 0], [1000, 0, 0, 0]


def population(**shares):
    """Return `Stored` counts of 1,000 seeds: condition -> number of each cell, seeds in the same order."""
    rows = [np.repeat(np.arange(4), own) for own in shares.values()]
    about = {name: {"regimen": name, "coordinates": {}} for name in shares}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


def world(axis, values, **shares):
    """Return `Stored` counts of regimens at values of an axis: regimen -> a list of counts of cells per value."""
    rows, about = [], {}
    for index, value in enumerate(values):
        for regimen, own in shares.items():
            rows.append(np.repeat(np.arange(4), own[index]))
            about[f"{regimen} {axis}={value:g}"] = {"regimen": regimen, "coordinates": {axis: value}}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


def worlds(axes, **shares):
    """Return `Stored` counts of regimens in worlds of several axes: regimen -> counts of cells, last axis fastest."""
    rows, about = [], {}
    for index, values in enumerate(itertools.product(*axes.values())):
        where = dict(zip(axes, values, strict=True))
        for regimen, own in shares.items():
            rows.append(np.repeat(np.arange(4), own[index]))
            about[f"{regimen} {where}"] = {"regimen": regimen, "coordinates": where}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


def worth(held, early, strong=None, late=None, throughout=None):
    """Return holding out and four ways to train in three worlds, each a list of counts of cells; early if not given."""
    trained = {"early": early, "early_strong": strong, "late": late, "throughout": throughout}
    return world(
        "implicit_proxy", [0, 0.03, 0.1], hold_out=held, **{name: own or early for name, own in trained.items()}
    )


def regimens(early, strong, late, throughout, anti_late=PERFECT, held=HELD):
    same = {"early": early, "early_strong": strong, "late": late, "throughout": throughout, "anti_late": anti_late}
    both = {name: [own, own] for name, own in {**same, "anti_early": [50, 0, 400, 550]}.items()}
    return world("implicit_proxy", [0, 0.03], hold_out=[PERFECT, held], **both)


def verdict(name, stored):
    """What the rule of a claim says of counts."""
    return claims.module(name).judge(stored).verdict
