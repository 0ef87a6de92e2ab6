"""Code over torch, JAX and autograd: what is asked of it, and how. The frameworks must be installed."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gradcheck_cli import UsageError, check
from gradcheck_cli.adapters import Given, op_from, ops_of

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def torch() -> Any:
    """With one thread: more make small tensors slower."""
    module = pytest.importorskip("torch")
    module.set_num_threads(1)
    return module


def function(torch: Any, forward: Any, backward: Any, **more: Any) -> Any:
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward), **more}
    return type("F", (torch.autograd.Function,), members)


def codes(report: Any) -> set[str]:
    return {finding.code for finding in report.findings}


def test_gradients_are_those_that_backward_returns(torch: Any) -> None:
    """torch's engine would sum one of the wrong shape until it fits, and cast one of another dtype."""
    unsummed = function(torch, lambda ctx, x, b: x + b, lambda ctx, g: (g, g))
    single = function(torch, lambda ctx, x: x + 0, lambda ctx, g: g.float())

    assert codes(check(unsummed, shapes=[(4, 3), (3,)], edges=False)) == {"GC101"}
    assert codes(check(single, shapes=[(3,)], edges=False)) == {"GC104"}


def test_too_few_gradients_are_counted(torch: Any) -> None:
    report = check(function(torch, lambda ctx, x, b: x + b, lambda ctx, g: g), shapes=[(3,), (3,)], edges=False)

    assert codes(report) == {"GC102"}


def test_a_function_of_several_outputs(torch: Any) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin(), x.exp()

    def backward(ctx: Any, dsin: Any, dexp: Any) -> Any:
        (x,) = ctx.saved_tensors
        return dsin * x.cos() + dexp * x.exp()

    assert check(function(torch, forward, backward), shapes=[(3,)]).passed


def test_one_of_several_outputs(torch: Any) -> None:
    """A function that keeps one output of a Function is differentiated by torch's engine."""
    both = function(torch, lambda ctx, x: (2 * x, 3 * x), lambda ctx, f, g: 2 * f + 3 * g)

    def first(x: Any) -> Any:
        return both.apply(torch.as_tensor(x))[0]

    assert check(first, shapes=[(3,)], edges=False).passed


def test_a_function_that_works_in_place(torch: Any) -> None:
    """As it says itself, by mark_dirty."""

    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        return x.mul_(2)

    assert check(function(torch, forward, lambda ctx, g: 2 * g), shapes=[(3,)], edges=False).passed


def test_a_mutated_cotangent_is_noticed(torch: Any) -> None:
    """Tensors share the memory of the arrays."""
    report = check(function(torch, lambda ctx, x: 2 * x, lambda ctx, g: g.mul_(2)), shapes=[(3,)], edges=False)

    assert codes(report) == {"GC301"}


def test_modules_are_differentiated_by_their_parameters(torch: Any) -> None:
    """An object, with shapes and names of its parameters; frozen ones are left alone."""
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    report = check(layer, shapes=[(4, 3)], edges=False)

    assert report.passed
    assert report.result.op.names == ("input", "weight")


def test_a_module_that_needs_arguments_says_so(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, size: int) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(size, 1)

        def forward(self, x: Any) -> Any:
            return self.linear(x)

    with pytest.raises(UsageError, match="its constructor takes size: give --param size="):
        check(Net, shapes=[(4, 3)])
    assert check(Net, shapes=[(4, 3)], params={"size": 3}, edges=False).passed


def test_integers_are_found_out(torch: Any) -> None:
    """An embedding takes indices, and these have no gradient."""
    report = check(torch.nn.Embedding(5, 3), shapes=[(4,)], edges=False)

    assert report.passed
    assert [report.result.op.names[i] for i in report.result.op.differentiated] == ["weight"]


def test_dropout_draws_the_same_mask_twice(torch: Any) -> None:
    assert check(torch.nn.Dropout(0.5), shapes=[(4, 3)], edges=False).passed


def test_a_kernel_for_single_precision_is_checked_in_it(torch: Any) -> None:
    """Where it refuses double precision, nothing else is asked of it."""

    def forward(ctx: Any, x: Any) -> Any:
        assert x.dtype == torch.float32, "a float kernel"
        ctx.save_for_backward(x)
        return x * x

    op = op_from(function(torch, forward, lambda ctx, g: 2 * g * ctx.saved_tensors[0]), None, Given(((3,),)))

    assert op.dtypes == ("float32",)
    assert check(op, shapes=[(3,)], edges=False).passed


def test_complex_gradients_are_torchs(torch: Any) -> None:
    """Without conj() it is wrong, with it right."""

    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    right = function(torch, forward, lambda ctx, g: g * 2 * ctx.saved_tensors[0].conj())
    wrong = function(torch, forward, lambda ctx, g: g * 2 * ctx.saved_tensors[0])

    assert check(right, shapes=[(3,)], dtype="complex128", edges=False).passed
    assert not check(wrong, shapes=[(3,)], dtype="complex128", edges=False).passed


def test_a_device_that_is_not_there_is_one_line(torch: Any) -> None:
    with pytest.raises(UsageError, match="--device nowhere: torch cannot use it"):
        check(function(torch, lambda ctx, x: x + 0, lambda ctx, g: g), shapes=[(3,)], device="nowhere")


def test_a_hand_written_pair_over_tensors(torch: Any) -> None:
    """Arrays become tensors on the way in, and tensors arrays on the way out."""

    def swish(x: Any) -> Any:
        return x * torch.sigmoid(x)

    def swish_backward(dout: Any, x: Any) -> Any:
        s = torch.sigmoid(x)
        return dout * (s + x * s * (1 - s))

    assert check(swish, swish_backward, shapes=[(3,)], edges=False).passed


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax")


def test_jax_computes_in_double_precision(jax: Any) -> None:
    """Though its default is single: a resolution of 1e-7 would hide much."""
    made = jax.custom_vjp(jax.numpy.sin)
    made.defvjp(lambda x: (jax.numpy.sin(x), x), lambda x, g: (g * jax.numpy.cos(x),))
    report = check(made, shapes=[(3,)], name="sin", edges=False)

    assert report.passed
    assert report.resolution is not None
    assert report.resolution < 1e-10


def test_a_hand_written_pair_over_jax_arrays(jax: Any) -> None:
    """In double precision as well, forward and backward."""

    def relu(x: Any) -> Any:
        return jax.numpy.maximum(x, 0)

    def relu_grad(g: Any, x: Any) -> Any:
        return jax.numpy.where(x > 0, g, 0)

    assert check(relu, relu_grad, shapes=[(3,)], edges=False).passed


def test_a_rule_of_the_wrong_shape_is_told_as_such(jax: Any) -> None:
    """JAX itself would refuse it, in its own words."""
    made = jax.custom_vjp(lambda x, b: x + b)
    made.defvjp(lambda x, b: (x + b, None), lambda _, g: (g, g))
    report = check(made, shapes=[(4, 3), (3,)], name="add", edges=False)

    assert codes(report) == {"GC101"}


def test_autograd_primitives() -> None:
    extend = pytest.importorskip("autograd.extend")

    @extend.primitive  # type: ignore[untyped-decorator]
    def square(x: Any) -> Any:
        return np.square(x)

    extend.defvjp(square, lambda ans, x: lambda g: 3 * g * x)

    assert codes(check(square, shapes=[(3,)], edges=False)) == {"GC201"}


def test_none_for_a_target_is_no_gradient_of_a_function(torch: Any) -> None:
    """Of an input that is none, a missing one."""

    def forward(ctx: Any, x: Any, target: Any) -> Any:
        ctx.save_for_backward(x, target)
        return ((x - target) ** 2).sum()

    def backward(ctx: Any, g: Any) -> Any:
        x, target = ctx.saved_tensors
        return 2 * (x - target) * g, None

    assert check(function(torch, forward, backward), shapes=[(3,), (3,)], edges=False).passed

    def named_otherwise(ctx: Any, x: Any, w: Any) -> Any:
        return forward(ctx, x, w)

    other = function(torch, named_otherwise, backward)
    assert codes(check(other, shapes=[(3,), (3,)], edges=False)) == {"GC103"}


def test_an_applied_function_is_found_by_its_name(torch: Any) -> None:
    """double = Double.apply."""
    module = ModuleType("theirs")
    made = function(torch, lambda ctx, x: 2 * x, lambda ctx, g: 2 * g)
    made.__module__, module.F, module.double = "theirs", made, made.apply  # type: ignore[attr-defined]
    (op,) = ops_of(module, "theirs.py", "double", Given(((3,),)))

    assert check(op, shapes=[(3,)], edges=False).passed


def test_none_is_zero_for_jax() -> None:
    """What a custom_vjp does not depend on has no gradient; where it does, that is wrong. Params may come first."""
    jax = pytest.importorskip("jax")

    def scaled(a: Any, x: Any) -> Any:
        return jax.numpy.sin(x)

    right, wrong = jax.custom_vjp(scaled), jax.custom_vjp(lambda a, x: a * jax.numpy.sin(x))
    right.defvjp(lambda a, x: (scaled(a, x), x), lambda x, g: (None, g * jax.numpy.cos(x)))
    wrong.defvjp(lambda a, x: (a * scaled(a, x), (a, x)), lambda r, g: (None, g * r[0] * jax.numpy.cos(r[1])))

    assert check(right, shapes=[(3,), (3,)], edges=False).passed
    assert codes(check(wrong, shapes=[(3,), (3,)], edges=False)) == {"GC201"}
    assert check(right, shapes=[(3,)], params={"a": 2.0}, edges=False).passed


def test_a_compiled_function_is_jax_own() -> None:
    """Whatever it calls inside."""
    jax = pytest.importorskip("jax")

    assert check(jax.jit(lambda x: x * x), shapes=[(3,)], edges=False).passed
