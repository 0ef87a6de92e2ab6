"""HIPS autograd: primitives with rules of one's own, and functions that it differentiates."""

import autograd.numpy as np
from autograd.extend import defvjp, primitive


@primitive
def logsumexp(x):
    largest = np.max(x)
    return largest + np.log(np.sum(np.exp(x - largest)))


defvjp(logsumexp, lambda ans, x: lambda g: g * np.exp(x - ans))


@primitive
def cube(x):
    return x**3


defvjp(cube, lambda ans, x: lambda g: g * x**2)  # the factor 3


def energy(w, x):
    return np.sum(np.sin(np.dot(x, w)) ** 2)
