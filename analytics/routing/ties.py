"""When a lower quality is as good as a higher one: the mathematics of a tie, without models or prices."""

import math

import numpy as np

from .bits import Floats

SQRT_TAU = math.sqrt(2 * math.pi)
ROUNDING = 1e-12


def expected_loss(gap: float, se: float) -> float:
    """E[max(0, X)] of a normal X with mean `gap` >= 0 and standard deviation `se`: what the lesser one is expected to
    cost, when the true gap may as well be wider, or the other way round.
    """
    if se <= 0:
        return gap
    z = gap / se
    return se * math.exp(-z * z / 2) / SQRT_TAU + gap * (1 + math.erf(z / math.sqrt(2))) / 2


def widest_gap(se: Floats, delta: float) -> Floats:
    """The widest gap to a quality known with `se` at which something may still be a tie, 0 if nothing but an equal can.

    The loss is never smaller than the gap itself, nor than half the gap and 0.4 standard errors, and must stay below
    `delta`.
    """
    widest: Floats = np.maximum(np.minimum(delta, 2 * (delta - se / SQRT_TAU)), 0)
    return widest
