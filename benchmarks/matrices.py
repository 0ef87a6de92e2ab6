"""Matrix functions for the catalogue: by hand on lists of numbers (for truth), by NumPy on stacks (as forward)."""

from __future__ import annotations

from typing import Any

import numpy as np

N = 4


def stack(x: Any, others: Any, place: tuple[int, int], shift: float) -> Any:
    """(R, 4, 4): the others fill a matrix from the left, `shift` I is added, x replaces one entry."""
    a = np.stack(others[: N * N], axis=-1).reshape(-1, N, N) + np.eye(N, dtype=x.dtype) * x.dtype.type(shift)
    a[:, place[0], place[1]] = x
    return a


def rows(x: Any, others: Any, place: tuple[int, int], shift: float) -> list[list[Any]]:
    """The same as nested lists."""
    a = [[others[N * i + j] + (shift if i == j else 0) for j in range(N)] for i in range(N)]
    a[place[0]][place[1]] = x
    return a


def eliminate(a: list[list[Any]], b: list[Any]) -> tuple[Any, list[Any]]:
    """(determinant, solution) by elimination without pivoting: 60 digits have room for that."""
    a, b = [list(r) for r in a], list(b)
    det = a[0][0]
    for k in range(N):
        if k:
            det = det * a[k][k]
        for i in range(k + 1, N):
            ratio = a[i][k] / a[k][k]
            a[i] = [p - ratio * q for p, q in zip(a[i], a[k], strict=True)]
            b[i] = b[i] - ratio * b[k]
    y: list[Any] = [None] * N
    for i in reversed(range(N)):
        y[i] = b[i]
        for j in range(i + 1, N):
            y[i] = y[i] - a[i][j] * y[j]
        y[i] = y[i] / a[i][i]
    return det, y


def det(m: Any, x: Any, *v: Any) -> Any:
    """Determinant, by its entry (1, 2)."""
    return eliminate(rows(x, v, (1, 2), 0), [0] * N)[0]


def det_forward(x: Any, *v: Any) -> Any:
    """By NumPy."""
    return np.linalg.det(stack(x, v, (1, 2), 0))


def det_gradient(x: Any, *v: Any) -> Any:
    """The cofactor."""
    a = stack(x, v, (1, 2), 0)
    minor = np.delete(np.delete(a, 1, axis=1), 2, axis=2)
    return -np.linalg.det(minor)


def logdet(m: Any, x: Any, *v: Any) -> Any:
    """log |det| with 2 I added, by entry (1, 2)."""
    return m.log(abs(eliminate(rows(x, v, (1, 2), 2), [0] * N)[0]))


def logdet_forward(x: Any, *v: Any) -> Any:
    """By NumPy."""
    return np.linalg.slogdet(stack(x, v, (1, 2), 2))[1]


def logdet_gradient(x: Any, *v: Any) -> Any:
    """An entry of the inverse, transposed."""
    return np.linalg.inv(stack(x, v, (1, 2), 2))[:, 2, 1]


def inverse(m: Any, x: Any, *v: Any) -> Any:
    """Entry (1, 2) of the inverse, by entry (0, 3)."""
    return eliminate(rows(x, v, (0, 3), 2), [0, 0, 1, 0])[1][1]


def inverse_forward(x: Any, *v: Any) -> Any:
    """By NumPy."""
    return np.linalg.inv(stack(x, v, (0, 3), 2))[:, 1, 2]


def inverse_gradient(x: Any, *v: Any) -> Any:
    """- B[1, 0] B[3, 2]."""
    a = stack(x, v, (0, 3), 2)
    unit = np.eye(N, dtype=x.dtype)
    left = np.linalg.solve(a.transpose(0, 2, 1), np.broadcast_to(unit[:, 1:2], (len(x), N, 1)))
    right = np.linalg.solve(a, np.broadcast_to(unit[:, 2:3], (len(x), N, 1)))
    return -left[:, 0, 0] * right[:, 3, 0]


def solve(m: Any, x: Any, *v: Any) -> Any:
    """Entry 0 of the solution of A y = b, by A[2, 1]."""
    return eliminate(rows(x, v, (2, 1), 2), list(v[16:20]))[1][0]


def solve_forward(x: Any, *v: Any) -> Any:
    """By NumPy."""
    return np.linalg.solve(stack(x, v, (2, 1), 2), np.stack(v[16:20], axis=-1)[:, :, None])[:, 0, 0]


def solve_gradient(x: Any, *v: Any) -> Any:
    """- B[0, 2] y[1]."""
    inv = np.linalg.inv(stack(x, v, (2, 1), 2))
    return -inv[:, 0, 2] * np.sum(inv[:, 1] * np.stack(v[16:20], axis=-1), axis=-1)


def gram(x: Any, v: Any) -> list[list[Any]]:
    """B B' + I/2 with x in both places (1, 0) and (0, 1), as the offset of a symmetric step."""
    a = [[sum(v[N * i + k] * v[N * j + k] for k in range(N)) for j in range(N)] for i in range(N)]
    for i in range(N):
        a[i][i] = a[i][i] + 0.5
    a[1][0] = a[0][1] = a[1][0] + x
    return a


def cholesky(m: Any, x: Any, *v: Any) -> Any:
    """Entry (2, 1) of the factor, by a symmetric step at (1, 0)."""
    a = gram(x, v)
    low: list[list[Any]] = [[0] * N for _ in range(N)]
    for j in range(3):
        low[j][j] = m.sqrt(a[j][j] - sum(low[j][k] * low[j][k] for k in range(j)))
        for i in range(j + 1, N):
            low[i][j] = (a[i][j] - sum(low[i][k] * low[j][k] for k in range(j))) / low[j][j]
    return low[2][1]


def cholesky_stack(x: Any, v: Any) -> Any:
    """(R, 4, 4) factors; NaN where NumPy refuses."""
    a = np.stack([np.stack(r, axis=-1) for r in gram(x, v)], axis=-2)
    good = np.linalg.eigvalsh(a)[:, 0] > 0
    out = np.full(a.shape, np.nan, a.dtype)
    out[good] = np.linalg.cholesky(a[good])
    return out


def cholesky_forward(x: Any, *v: Any) -> Any:
    """By NumPy."""
    return cholesky_stack(x, v)[:, 2, 1]


def cholesky_gradient(x: Any, *v: Any) -> Any:
    """L Phi(L^-1 dA L^-T), where Phi keeps the lower triangle and half the diagonal."""
    low = cholesky_stack(x, v)
    step = np.zeros_like(low)
    step[:, 0, 1] = step[:, 1, 0] = 1
    inner = np.linalg.solve(low, np.linalg.solve(low, step).transpose(0, 2, 1))
    keep = np.tril(np.ones((N, N), low.dtype)) - np.eye(N, dtype=low.dtype) / 2
    return (low @ (inner * keep))[:, 2, 1]


def spectral(m: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    """The largest singular value of [[x, a], [b, c]]."""
    trace, determinant = x * x + a * a + b * b + c * c, x * c - a * b
    return m.sqrt((trace + m.sqrt(trace * trace - 4 * determinant * determinant)) / 2)


def pair(x: Any, a: Any, b: Any, c: Any) -> Any:
    """(R, 2, 2)."""
    return np.stack([np.stack([x, a], axis=-1), np.stack([b, c], axis=-1)], axis=-2)


def spectral_forward(x: Any, a: Any, b: Any, c: Any) -> Any:
    """By NumPy."""
    return np.linalg.svd(pair(x, a, b, c), compute_uv=False)[:, 0]


def spectral_gradient(x: Any, a: Any, b: Any, c: Any) -> Any:
    """u v' of the leading pair."""
    u, _, vt = np.linalg.svd(pair(x, a, b, c))
    return u[:, 0, 0] * vt[:, 0, 0]
