"""Colours as light, and as a deuteranope sees them, from published formulas."""

import numpy as np

# Machado, Oliveira and Fernandes, IEEE TVCG 15:1291 (2009), table 1: deuteranopia, severity 1
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def linear(colour):
    """WCAG 2.2, relative luminance: sRGB without its gamma."""
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
