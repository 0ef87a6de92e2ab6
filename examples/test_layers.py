"""The pytest fixture: `pytest examples/test_layers.py` tells the story of the second one."""

import numpy as np


def gelu(x):
    return 0.5 * x * (1 + np.tanh(x))


def gelu_backward(dout, x):
    t = np.tanh(x)
    return dout * 0.5 * (1 + t + x * (1 - t**2))


def hasty_gelu_backward(dout, x):
    return dout * 0.5 * (1 + np.tanh(x))


def test_gelu(gradcheck):
    gradcheck(gelu, gelu_backward, shapes=[(3, 4)])


def test_hasty_gelu(gradcheck):
    gradcheck(gelu, hasty_gelu_backward, shapes=[(3, 4)])
