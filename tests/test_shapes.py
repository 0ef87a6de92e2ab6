"""Shapes: the family around `--shape`, and random shapes that fit the signature."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gradcheck_cli import Op
from gradcheck_cli.draw import Sampling
from gradcheck_cli.errors import ShapeError
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.sample import Sampler
from gradcheck_cli.shapes import Shapes, bound, check_size, family, random_shapes
from gradcheck_cli.signature import Shape


def forward(*inputs: Any) -> Any: ...


def backward(grad: Any, out: Any, *inputs: Any) -> Any: ...


def op(signature: str, **declaration: Any) -> Op:
    """An op that is never called."""
    return Op(forward, backward, signature, name="op", **declaration)


MATMUL = op("(n?,k),(k,m?)->(n?,m?)")
ADD = op("(),()->()")
LINEAR = op("(n?,k),(k,m),(m)->(n?,m)")
BUILT_IN = {o.name: o for o in installed_ops()}


def partners(given: Op, *shapes: Shape) -> list[Any]:
    """What completes the given shapes: one shape, or a tuple of several."""
    rest = [shaped.operands[len(shapes) :] for shaped in family(given, shapes)]
    return [operands[0] if len(operands) == 1 else operands for operands in rest]


def drawn(given: Op, count: int = 40, **options: Any) -> list[Shapes]:
    """Random shapes of the first cases, those that exist."""
    settings: dict[str, Any] = {"loops": bool(given.loops), "rank": None, "max_side": 4, "mix": True, **options}
    shapes = [random_shapes(given, 0, i, **settings) for i in range(count)]
    return [s for s in shapes if s is not None]


def loop_part(given: Op, shapes: Shapes) -> tuple[Shape, ...]:
    return given.gufunc.bind(shapes.operands).loops


def output_of_matmul(a: Shape, b: Shape) -> Shape:
    return np.shape(np.matmul(np.zeros(a), np.zeros(b)))


# The family of the shapes that were given


def test_the_family_of_matmul() -> None:
    """The same batch, one of ones, of lower rank, none, one more, and a vector; m takes a size of its own, 6."""
    assert partners(MATMUL, (2, 3, 4, 5)) == [(2, 3, 5, 6), (2, 1, 5, 6), (3, 5, 6), (5, 6), (2, 2, 3, 5, 6), (5,)]


@pytest.mark.parametrize("given", [(2, 3, 4, 5), (3, 4, 5), (4, 5), (5,), (1, 1), (0, 3), (7, 0, 4, 5)])
def test_numpy_multiplies_every_member_of_the_family(given: Shape) -> None:
    """Each partner fits, and the promised output is the one that NumPy gives."""
    for shapes in family(MATMUL, [given]):
        expected = MATMUL.gufunc.output_shapes(MATMUL.gufunc.bind(shapes.operands))

        assert (output_of_matmul(*shapes.operands),) == expected


def test_the_family_of_a_vector() -> None:
    """A vector goes with a matrix, a stack of matrices and a vector; m takes a size of its own."""
    found = partners(MATMUL, (5,))
    m = found[0][-1]

    assert found == [(5, m), (2, 5, m), (5,)]
    assert m not in (0, 1, 5)


def test_the_family_of_an_elementwise_op() -> None:
    """The same shape, ones, lower rank, a scalar, and one dimension more."""
    assert partners(ADD, (3, 4)) == [(3, 4), (3, 1), (4,), (), (2, 3, 4)]


def test_the_family_of_a_scalar() -> None:
    """A scalar meets a scalar and something larger."""
    assert partners(ADD, ()) == [(), (2,)]


def test_two_partners_vary_together_and_apart() -> None:
    """Both batched alike, both plain, and each with another loop shape than the other."""
    found = partners(LINEAR, (2, 3, 4))

    assert {((2, 4, 5), (2, 5)), ((1, 4, 5), (1, 5)), ((4, 5), (5,)), ((2, 2, 4, 5), (2, 2, 5))} <= set(found)
    assert any(w[:-2] != b[:-1] for w, b in found)
    assert len(found) == len(set(found))


def test_members_of_a_family_differ() -> None:
    """No case is run twice, also where ones and lower rank come to the same."""
    for given in [(1, 1), (1,), (), (2, 1, 3)]:
        assert len(set(partners(ADD, given))) == len(partners(ADD, given))


def test_all_operands_given_are_the_whole_family() -> None:
    """Nothing is left to complete."""
    assert [s.operands for s in family(MATMUL, [(2, 3), (3, 4)])] == [((2, 3), (3, 4))]


def test_the_family_of_any_shape_is_that_shape() -> None:
    """All (...) are one shape."""
    assert partners(op("(...),(...)"), (2, 3)) == [(2, 3)]


def test_the_family_of_one_or_n_broadcasts() -> None:
    """n|1 says that the partner may be 1 along n: one `--shape` shows that, too."""
    found = partners(op("(n|1,m|1),(n|1,m|1)"), (3, 4))

    assert (3, 4) in found
    assert any(1 in partner for partner in found)


@pytest.mark.parametrize("loops", [None, True])
def test_loop_dimensions_are_tried_where_they_may_be_meant(loops: bool | None) -> None:
    """A dot product that says nothing of loops is tried with them as well; where they are meant, of course."""
    dot = op("(n),(n)->()", loops=loops)

    assert (3,) in partners(dot, (3,))
    assert (2, 3) in partners(dot, (3,))


def test_loop_dimensions_that_are_ruled_out_are_not_tried() -> None:
    """loops=False leaves core shapes alone."""
    assert partners(op("(n),(n)->()", loops=False), (3,)) == [(3,)]


def test_the_plainest_partner_comes_first_where_loops_are_undeclared() -> None:
    """It decides whether loop dimensions matter at all."""
    assert partners(op("(n),(n)->()"), (3,))[0] == (3,)


def test_sizes_that_were_not_given_are_new() -> None:
    """Equal sizes would hide mixed-up axes: k and m differ from one another and from what was given."""
    (shapes,) = family(op("(n),(n,k),(k,m)"), [(2,)])
    (_, (n, k), (again, m)) = shapes.operands

    assert (n, again) == (2, k)
    assert len({2, k, m}) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([(2, 3), (4, 5)], "op: k is 3 in x0 (2,3) but 4 in x1 (4,5) ((n?,k),(k,m?)->(n?,m?))"),
        ([()], "op: x0 () has 0 dimensions, but (n?,k),(k,m?)->(n?,m?) needs at least 1"),
        ([(2,), (2,), (2,)], "op: 3 shapes given, but (n?,k),(k,m?)->(n?,m?) has 2 operands"),
    ],
)
def test_given_shapes_that_do_not_fit_are_refused(given: Sequence[Shape], message: str) -> None:
    """With the op and the operand by name."""
    with pytest.raises(ShapeError) as caught:
        family(MATMUL, given)

    assert str(caught.value) == message


# Random shapes


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(("mix", "max_side"), [(True, 1), (True, 9), (False, 4)])
def test_random_shapes_always_bind(name: str, mix: bool, max_side: int) -> None:
    """They fit the signature, whatever the rank, and no side is longer than asked."""
    for rank in (None, 0, 1, 2, 5):
        for shapes in drawn(BUILT_IN[name], rank=rank, mix=mix, max_side=max_side):
            assert bound(BUILT_IN[name], shapes.operands).sizes.items() <= shapes.sizes.items()
            assert max((side for shape in shapes.operands for side in shape), default=1) <= max_side


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("given", [MATMUL, ADD, LINEAR, op("(...)"), op("(n),(n)->()", loops=True)])
def test_the_rank_is_that_of_the_largest_operand(given: Op, rank: int) -> None:
    """Exactly, in every case that has operands of that rank."""
    for shapes in drawn(given, rank=rank):
        assert max(map(len, shapes.operands)) == rank


@pytest.mark.parametrize(
    ("given", "rank", "exists"),
    [
        (MATMUL, 0, False),
        (MATMUL, 1, True),
        (LINEAR, 1, False),
        (ADD, 0, True),
        (op("(m),(n)"), 2, False),
        (op("(...)"), 6, True),
        (op("(n)->()", loops=False), 2, False),
    ],
)
def test_a_rank_that_no_operand_can_have_draws_nothing(given: Op, rank: int, exists: bool) -> None:
    """None, rather than another rank."""
    assert bool(drawn(given, rank=rank)) is exists


def test_ranks_vary() -> None:
    """Scalars, vectors, matrices and more within the twenty cases of a run."""
    ranks = {max(map(len, shapes.operands)) for shapes in drawn(ADD, 20)}

    assert {0, 1, 2, 3, 4} <= ranks


def test_every_form_of_matmul_is_drawn() -> None:
    """Dot, matrix-vector, vector-matrix and matrix-matrix, within twenty cases."""
    forms = {tuple(len(shape) == 1 for shape in shapes.operands) for shapes in drawn(MATMUL, 20)}

    assert forms == {(True, True), (True, False), (False, True), (False, False)}


def test_operands_broadcast() -> None:
    """Within twenty cases: ones, lower ranks and nothing at all, on either side."""
    pairs = [loop_part(ADD, shapes) for shapes in drawn(ADD, 20)]

    assert any(len(a) < len(b) for a, b in pairs)
    assert any(len(b) < len(a) for a, b in pairs)
    assert any(len(a) == len(b) and a != b for a, b in pairs)
    assert any(a == b for a, b in pairs)


@pytest.mark.parametrize("given", [ADD, op("(n,k),(k,m)->(n,m)", loops=True), op("(n|1),(n|1)->(n)", loops=True)])
def test_no_broadcast_gives_all_operands_the_same_loop_shape(given: Op) -> None:
    """`--no-broadcast`: no ones where another operand has more, and no lower rank."""
    for shapes in drawn(given, mix=False):
        assert len(set(loop_part(given, shapes))) == 1


@pytest.mark.parametrize("name", ["add", "mean_squared_error"])
def test_no_broadcast_gives_elementwise_operands_the_same_shape(name: str) -> None:
    """Whether broadcasting is written as () or as n|1."""
    for shapes in drawn(BUILT_IN[name], mix=False):
        assert len(set(shapes.operands)) == 1, shapes.operands


def test_one_or_n_is_both() -> None:
    """n|1 is n in most cases and 1 in some."""
    pairs = [shapes.operands for shapes in drawn(op("(n|1),(n)"))]

    assert any(a == (1,) != b for a, b in pairs)
    assert any(a == b != (1,) for a, b in pairs)


def test_fixed_sizes_are_kept() -> None:
    """Also where they are larger than the largest random side."""
    assert {shapes.operands for shapes in drawn(op("(6),(2,6)"), max_side=3)} == {((6,), (2, 6))}


def test_square_and_oblong_matrices_are_drawn() -> None:
    """A transposed gradient shows in the shape of an oblong matrix, and in the values of a square one alone."""
    sides = [shapes.operands[0] for shapes in drawn(op("(n,m)"), 20)]

    assert any(n == m != 1 for n, m in sides)
    assert any(n != m for n, m in sides)


def test_without_loops_only_core_shapes_are_drawn() -> None:
    """Two matrices stay two matrices."""
    for shapes in drawn(op("(n,k),(k,m)->(n,m)"), loops=False):
        assert (list(map(len, shapes.operands)), shapes.loops) == ([2, 2], False)


def test_loops_are_reported() -> None:
    """Whoever judges the case must know that it has loop dimensions."""
    given = op("(n),(n)->()", loops=True)

    for shapes in drawn(given):
        assert shapes.loops == any(len(shape) > 1 for shape in shapes.operands)


# Size limits


def huge(*shapes: Shape) -> Shapes:
    return bound(ADD, shapes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (huge((10**9, 10**9), ()), "op: x0 (1000000000,1000000000) has 1,000,000,000,000,000,000 elements; the limit"),
        (huge((10**4, 1), (10**4,)), "op: the output (10000,10000) has 100,000,000 elements; the limit is 10,000,000"),
        (huge((1,) * 65, ()), "op: x0 has 65 dimensions; NumPy arrays have at most 64"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_allocated(shapes: Shapes, message: str) -> None:
    """Operands and outputs, by dimensions and by elements."""
    with pytest.raises(ShapeError) as caught:
        check_size(ADD, shapes, 10_000_000, 2**40)

    assert str(caught.value).startswith(message)


def test_a_family_member_that_is_too_large_does_not_spoil_the_others() -> None:
    """The user's own shape is within the limit; a partner that we made up and that is not is left out."""
    sampling = Sampling(shapes=((6,),), max_elements=10)

    assert ((6,), (6,)) in [case.shapes for case in Sampler(BUILT_IN["add"], sampling)]
