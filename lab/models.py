"""Where task files of earlier guides find flax modules; they live in `lab.tasks.models`."""

from lab.tasks.models import Decoder, Heads, Pathways, scaled_normal

__all__ = ["Decoder", "Heads", "Pathways", "scaled_normal"]
