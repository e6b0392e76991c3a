"""What a study found, drawn into axes of one's own, in a notebook say.

Each takes the result of a study's `run` and a matplotlib `Axes`, and draws the panel that the study's command draws.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.figures.studies import draw_curves, draw_moments, draw_onsets, draw_rivals
from lab.report.decisions import curve_json
from lab.report.studies import card_json, optimised_json, profile_json
from lab.studies.card import Card
from lab.studies.roc import Roc
from lab.studies.schedules import Optimised
from lab.studies.sensitivity import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONSETS = {"base_rate": "P(A) after a push", "fakers": "P(T, not A) after a push"}


def draw_card(card: Card, ax: "Axes", quantity: str = "base_rate") -> None:
    """Draw a quantity of a card over the onset of a push.

    Args:
        card: what `lab.studies.card.run` returned.
        ax: drawn into.
        quantity: base_rate, or fakers: the share of all runs that are misaligned and pass.
    """
    draw_onsets(card_json(card)["curves"], ax, quantity, ONSETS[quantity])


def draw_profile(profile: Profile, ax: "Axes", term: str, quantity: str = "base_rate") -> None:
    """Draw what the weight of a term does to a quantity at every moment of training.

    Args:
        profile: what `lab.studies.sensitivity.run` returned.
        ax: drawn into.
        term: one of the profile's.
        quantity: one of the profile's.
    """
    draw_moments(profile_json(profile)["terms"][term]["moments"], ax, quantity)


def draw_schedules(optimised: Optimised, ax: "Axes") -> None:
    """Draw what the schedule found and those made by hand reach, the best on top.

    Args:
        optimised: what `lab.studies.schedules.run` returned.
        ax: drawn into.
    """
    data = optimised_json(optimised)
    draw_rivals(data["rivals"], ax, data["goal"]["name"])


def draw_roc(curves: Mapping[float, Roc], ax: "Axes") -> None:
    """Draw P(T|A) over P(T|not A) for every threshold on a score, later curves darker.

    Args:
        curves: share of training -> what `lab.studies.roc.roc` returned for it, ascending.
        ax: drawn into.
    """
    by_share = {f"{share:g}": curve_json(curve) for share, curve in curves.items()}
    draw_curves(by_share, ax, "pass_given_misaligned", "pass_given_aligned")
