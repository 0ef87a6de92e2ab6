"""JAX: rules of one's own, and functions that JAX differentiates."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def softplus(x):
    return jnp.logaddexp(0.0, x)


def softplus_fwd(x):
    return softplus(x), x


def softplus_bwd(x, g):
    return (g * jax.nn.sigmoid(x),)


softplus.defvjp(softplus_fwd, softplus_bwd)


@jax.custom_vjp
def rsqrt(x):
    return 1 / jnp.sqrt(1 + x**2)


def rsqrt_fwd(x):
    return rsqrt(x), x


def rsqrt_bwd(x, g):
    return (g * x * rsqrt(x) ** 3,)  # the sign


rsqrt.defvjp(rsqrt_fwd, rsqrt_bwd)


@jax.custom_jvp
def sin_times(x, y):
    return jnp.sin(x) * y


@sin_times.defjvp
def sin_times_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return sin_times(x, y), jnp.cos(x) * y * dx + jnp.sin(x) * dy


@jax.custom_jvp
def cos_times(x, y):
    return jnp.cos(x) * y


@cos_times.defjvp
def cos_times_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return cos_times(x, y), jnp.sin(x) * y * dx + jnp.cos(x) * dy  # the sign of the first


def energy(x, w):
    return jnp.sum(jnp.sin(x @ w) ** 2)
