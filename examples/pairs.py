"""Pairs of functions, as in many courses: with a cache, with the input, and f with its derivative."""

import numpy as np


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1) @ w + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, _ = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def hasty_affine_forward(x, w, b):
    return affine_forward(x, w, b)


def hasty_affine_backward(dout, cache):
    dx, dw, _ = affine_backward(dout, cache)
    return dx, dw, dout  # b was added to every row


def softplus(x):
    return np.logaddexp(0, x)


def softplus_backward(dout, x):
    return dout / (1 + np.exp(-x))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def tanh(x):
    return np.tanh(x)


def tanh_prime(x):
    return 1 - x**2  # of the output, not of x
