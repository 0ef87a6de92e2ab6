"""Signatures: the grammar, the errors, and binding, which NumPy's own gufuncs judge."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy._core import _umath_tests  # holds NumPy's own parser

from gradcheck_cli.errors import ShapeError
from gradcheck_cli.signature import Dimension, Operand, Shape, broadcast, parse, show


def dims(*dimensions: Dimension) -> Operand:
    return Operand(dimensions)


N, K, M = Dimension("n"), Dimension("k"), Dimension("m")


def outputs_of(text: str, *shapes: Shape) -> tuple[Shape, ...] | None:
    """What a signature promises for operands of these shapes."""
    signature = parse(text)
    return signature.output_shapes(signature.bind(shapes))


def rejected(text: str) -> str:
    with pytest.raises(ValueError, match="signature") as caught:
        parse(text)
    return str(caught.value)


def refused(text: str, *shapes: Shape, names: Sequence[str] = ("a", "b", "c")) -> str:
    with pytest.raises(ShapeError) as caught:
        parse(text).bind(shapes, names)
    return str(caught.value)


# Grammar


@pytest.mark.parametrize(
    ("text", "inputs", "outputs"),
    [
        ("(n,k),(k,m)->(n,m)", [dims(N, K), dims(K, M)], [dims(N, M)]),
        ("()->()", [dims()], [dims()]),
        ("(),()->()", [dims(), dims()], [dims()]),
        ("(3)->()", [dims(Dimension("3", size=3))], [dims()]),
        ("(n?)->(n?)", [dims(Dimension("n", optional=True))], [dims(Dimension("n", optional=True))]),
        ("(n|1),(n)->(n)", [dims(Dimension("n", or_one=True)), dims(N)], [dims(N)]),
        ("(n)->(),(n,n)", [dims(N)], [dims(), dims(N, N)]),
        ("(_x1)->()", [dims(Dimension("_x1"))], [dims()]),
        ("(...)->()", [Operand(any_shape=True)], [dims()]),
    ],
)
def test_a_signature_is_taken_apart(text: str, inputs: list[Operand], outputs: list[Operand]) -> None:
    """Every operand with its dimensions, on both sides of the arrow."""
    signature = parse(text)

    assert list(signature.inputs) == inputs
    assert list(signature.outputs or ()) == outputs


def test_without_an_arrow_nothing_is_said_of_the_outputs() -> None:
    """Outputs are None, which is not the same as no outputs."""
    assert parse("(n),(m)").outputs is None


def test_whitespace_means_nothing() -> None:
    """A signature may be spread out, and is shown without the blanks."""
    assert parse(" ( n , k ) , (\tk ) -> ( n ) ") == parse("(n,k),(k)->(n)")
    assert parse("( n )  -> ( )").text == "(n)->()"


@pytest.mark.parametrize(
    ("text", "loops", "elementwise"),
    [
        ("(),()->()", True, True),
        ("(n)->()", True, False),
        ("()->(3)", True, False),
        ("()", False, False),
        ("(n),(n)", False, False),
        ("(...)->()", False, False),
        ("(n)->(n),(n)", True, False),
    ],
)
def test_loop_dimensions_need_an_arrow_and_core_shapes(text: str, loops: bool, elementwise: bool) -> None:
    """Only a forward whose output shape is known can be asked for loop + core."""
    signature = parse(text)

    assert (signature.has_loops, signature.elementwise) == (loops, elementwise)


def test_optional_dimensions_are_known_by_name() -> None:
    """The names that carry a question mark."""
    assert parse("(n?,k),(k,m?)->(n?,m?)").optional == {"n", "m"}


RIGHT_ONE = 'write for instance "(n,k),(k,m)->(n,m)"'
IN_PARENTHESES = 'each operand stands in parentheses, as in "(n,k),(k,m)->(n,m)"'
IN_FRONT = "dimensions in front need no mention, loop dimensions are prepended to any signature with an arrow"
LEAVE_IT_OUT = "leave the arrow out where the output's shape depends on params"
A_DIMENSION = "write a name (n), a size (3), n? (may be missing) or n|1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"signature '' has no inputs; {RIGHT_ONE}"),
        ("->()", f"signature '->()' has no inputs; {RIGHT_ONE}"),
        ("(n)->", "signature '(n)->' has no output; leave the arrow out where its shape depends on params"),
        ("(n)->()->()", "signature '(n)->()->()' has two arrows"),
        ("n->n", f"signature 'n->n': {IN_PARENTHESES}"),
        ("(n", f"signature '(n': {IN_PARENTHESES}"),
        ("(n))", f"signature '(n))': {IN_PARENTHESES}"),
        ("((n))", f"signature '((n))': {IN_PARENTHESES}"),
        ("(n)(m)", f"signature '(n)(m)': {IN_PARENTHESES}"),
        ("(n),", f"signature '(n),': {IN_PARENTHESES}"),
        ("(n),,(m)", f"signature '(n),,(m)': {IN_PARENTHESES}"),
        ("(n)->()x", f"signature '(n)->()x': {IN_PARENTHESES}"),
        ("(n) >- ()", f"signature '(n) >- ()': {IN_PARENTHESES}"),
        ("(n,)", f"signature '(n,)': '' is no dimension; {A_DIMENSION}"),
        ("(,n)", f"signature '(,n)': '' is no dimension; {A_DIMENSION}"),
        ("(n k)", f"signature '(n k)': 'n k' is no dimension; {A_DIMENSION}"),
        ("(n!)", f"signature '(n!)': 'n!' is no dimension; {A_DIMENSION}"),
        ("(2n)", f"signature '(2n)': '2n' is no dimension; {A_DIMENSION}"),
        ("(-1)", f"signature '(-1)': '-1' is no dimension; {A_DIMENSION}"),
        ("(n??)", f"signature '(n??)': 'n??' is no dimension; {A_DIMENSION}"),
        ("(n|2)", f"signature '(n|2)': 'n|2' is no dimension; {A_DIMENSION}"),
        ("(é)", f"signature '(é)': 'é' is no dimension; {A_DIMENSION}"),
        (
            "(...,n)",
            f"signature '(...,n)': '...' stands alone, as in \"(...)\"; {IN_FRONT}",
        ),
        (
            "(n)->(m)",
            f"signature '(n)->(m)': output dimension 'm' is in no input; {LEAVE_IT_OUT}",
        ),
        ("(n)->(...)", "signature '(n)->(...)': the output is (...), but no input is"),
    ],
)
def test_a_syntax_error_says_what_to_write(text: str, message: str) -> None:
    """The signature as it was written, what is wrong with it, and a right one."""
    assert rejected(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "(n,k),(k,m)->(n,m)",
        "(n?,k),(k,m?)->(n?,m?)",
        "(3),(3)->(3)",
        "(3?)->()",
        "(n)->(3)",
        "(n),(n)->(n),()",
        "( n )->( )",
        "(n,)->()",
        "(n k)->()",
        "(n)(m)->()",
        "(n),->()",
        "(n ?)->()",
        "(1n)->()",
        "(0)->()",
        "(n?,k),(n,k)->(k)",
        "(n,k),(k,n?)->()",
        "(n?,k),(k,m?)->(n,m)",
    ],
)
def test_the_grammar_is_that_of_numpy(text: str) -> None:
    """What NumPy's own parser accepts is accepted, and nothing else."""
    inputs, _, outputs = text.partition("->")

    def accepted(parser: Callable[..., Any], *arguments: Any) -> bool:
        try:
            parser(*arguments)
        except ValueError:
            return False
        return True

    numpy_accepts = accepted(_umath_tests.test_signature, inputs.count("("), outputs.count("("), text)

    assert accepted(parse, text) == numpy_accepts


# Binding


def test_names_are_bound_to_sizes() -> None:
    """Sizes by name, and what stands in front of the core dimensions as loop shapes."""
    binding = parse("(n,k),(k,m)->(n,m)").bind([(7, 2, 3), (3, 4)])

    assert (binding.sizes, binding.loops, binding.loop) == ({"n": 2, "k": 3, "m": 4}, ((7,), ()), (7,))


def test_operands_that_are_not_given_stay_unbound() -> None:
    """`--shape` may name the first operands only."""
    assert parse("(n,k),(k,m)->(n,m)").bind([(2, 3)]).sizes == {"n": 2, "k": 3}


@pytest.mark.parametrize(
    ("text", "shapes", "expected"),
    [
        ("(n?,k),(k,m?)->(n?,m?)", [(2, 3), (3, 4)], [(2, 4)]),
        ("(n?,k),(k,m?)->(n?,m?)", [(3,), (3, 4)], [(4,)]),
        ("(n?,k),(k,m?)->(n?,m?)", [(2, 3), (3,)], [(2,)]),
        ("(n?,k),(k,m?)->(n?,m?)", [(3,), (3,)], [()]),
        ("(n?,k),(k,m?)->(n?,m?)", [(5, 1, 2, 3), (6, 3, 4)], [(5, 6, 2, 4)]),
        ("(n?,k),(k,m?)->(n?,m?)", [(3,), (5, 3, 4)], [(5, 4)]),
        ("(),()->()", [(2, 1), (3,)], [(2, 3)]),
        ("(),()->()", [(), ()], [()]),
        ("(3),(3)->(3)", [(2, 3), (3,)], [(2, 3)]),
        ("(n)->(n),()", [(5, 4)], [(5, 4), (5,)]),
        ("(n)->(2,n)", [(4,)], [(2, 4)]),
        ("(n|1),(n)->(n)", [(1,), (4,)], [(4,)]),
        ("(n|1),(n)->(n)", [(4,), (4,)], [(4,)]),
        ("(n|1),(n|1)->(n)", [(4,), (1,)], [(4,)]),
        ("(n|1),(n|1)->(n)", [(1,), (1,)], [(1,)]),
        ("(...)->(...)", [(2, 3)], [(2, 3)]),
        ("(...),(...)->()", [(2, 3), (2, 3)], [()]),
        ("(n),(n)->()", [(0,), (0,)], [()]),
    ],
)
def test_outputs_are_loop_and_core(text: str, shapes: list[Shape], expected: list[Shape]) -> None:
    """The shape of every output, from those of the inputs."""
    assert outputs_of(text, *shapes) == tuple(expected)


def test_without_an_arrow_no_output_shape_is_promised() -> None:
    """The output may depend on params."""
    assert outputs_of("(n),(m)", (3,), (4,)) is None


MATMUL = "(n?,k),(k,m?)->(n?,m?)"


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("(n)->()", [(2,), (3,)], "2 shapes given, but (n)->() has 1 operand"),
        (MATMUL, [(2, 3), (4, 5)], f"k is 3 in a (2,3) but 4 in b (4,5) ({MATMUL})"),
        (MATMUL, [()], f"a () has 0 dimensions, but {MATMUL} needs at least 1"),
        ("(3),(3)->(3)", [(4,)], "a (4,): a dimension of fixed size 3 is 4 ((3),(3)->(3))"),
        (
            "(n),(m)",
            [(2, 3)],
            "a (2,3) has 2 dimensions, but (n),(m) has exactly 1: loop dimensions need an arrow (->)",
        ),
        ("(...),(...)", [(2,), (3,)], "b (3,): all (...) in (...),(...) are one shape, (2,)"),
        ("(),()->()", [(2,), (3,)], "loop dimensions do not broadcast: a (2,), b (3,) ((),()->())"),
        ("(n|1),(n|1)", [(2,), (3,)], "n is 2 in a (2,) but 3 in b (3,) ((n|1),(n|1))"),
    ],
)
def test_shapes_that_do_not_fit_are_named(text: str, shapes: list[Shape], message: str) -> None:
    """Which operand, which dimension, and the signature that says so."""
    assert refused(text, *shapes) == message


def test_a_plain_dimension_of_one_is_one() -> None:
    """In (n),(n|1) only the second operand may be 1 where n is not: (1,) and (4,) do not unify."""
    assert "n is 1" in refused("(n),(n|1)->(n)", (1,), (4,))


def test_one_missing_dimension_makes_room_for_the_operands_behind() -> None:
    """Once n is missing, (q?,n?) needs one dimension only, so that (3,) has its q, as NumPy would have it."""
    binding = parse("(n?,p?),(q?,n?)->(p?,q?)").bind([(2,), (3,)])

    assert (sorted(binding.missing), binding.sizes) == (["n"], {"p": 2, "q": 3})


def test_operands_without_names_are_counted() -> None:
    """Who binds by hand is told the position."""
    with pytest.raises(ShapeError, match=r"k is 3 in operand 1 \(2,3\) but 4 in operand 2 \(4,5\)"):
        parse(MATMUL).bind([(2, 3), (4, 5)])


_linalg = np.linalg._umath_linalg
GUFUNCS = {
    gufunc.__name__: gufunc
    for gufunc in (np.matmul, np.vecdot, np.matvec, np.vecmat, _linalg.solve, _linalg.det, _linalg.slogdet, np.add)
}
SIGNATURES = {name: gufunc.signature or "(),()->()" for name, gufunc in GUFUNCS.items()}


def numpy_answer(gufunc: Callable[..., Any], shapes: Sequence[Shape]) -> tuple[Shape, ...] | None:
    """The output shapes of a real gufunc, or None where it refuses."""
    # Stacked identities, cut to shape, keep solve from meeting a singular matrix.
    inputs = [np.broadcast_to(np.eye(shape[-2], shape[-1]) if len(shape) > 1 else 1.0, shape) for shape in shapes]
    try:
        result = gufunc(*inputs)
    except ValueError:
        return None
    return tuple(np.shape(y) for y in (result if isinstance(result, tuple) else (result,)))


def our_answer(text: str, shapes: Sequence[Shape]) -> tuple[Shape, ...] | None:
    try:
        return outputs_of(text, *shapes)
    except ShapeError:
        return None


def random_shapes(rng: np.random.Generator, count: int) -> list[Shape]:
    """Shapes of few different sizes, so that many of them unify; each rank and an empty side now and then."""
    sizes = rng.choice([0, 1, 2, 3], 2, p=[0.05, 0.25, 0.35, 0.35])
    return [tuple(int(s) for s in rng.choice([1, *sizes], rng.integers(0, 5))) for _ in range(count)]


@pytest.mark.parametrize("name", GUFUNCS)
def test_binding_agrees_with_numpy(name: str) -> None:
    """The same shapes are refused, and the others give outputs of the same shapes, as in the real gufunc."""
    rng = np.random.default_rng(len(name))
    gufunc, text = GUFUNCS[name], SIGNATURES[name]
    drawn = [random_shapes(rng, len(parse(text).inputs)) for _ in range(600)]
    expected = [numpy_answer(gufunc, shapes) for shapes in drawn]

    assert [our_answer(text, shapes) for shapes in drawn] == expected
    assert 20 < sum(answer is not None for answer in expected) < 600


# Broadcasting


def test_broadcast_agrees_with_numpy() -> None:
    """Three random shapes at a time broadcast to what NumPy says, or raise ValueError as it does."""
    rng = np.random.default_rng(1)

    def answer(function: Callable[..., Shape], *arguments: Any) -> Shape | None:
        try:
            return tuple(function(*arguments))
        except ValueError:
            return None

    for _ in range(500):
        shapes = random_shapes(rng, 3)

        assert answer(broadcast, shapes) == answer(np.broadcast_shapes, *shapes)


def test_broadcast_allocates_nothing() -> None:
    """Shapes that no memory holds have a broadcast all the same."""
    assert broadcast([(10**12, 1), (10**12,)]) == (10**12, 10**12)


def test_no_shapes_broadcast_to_a_scalar() -> None:
    """As `np.broadcast_shapes()` has it."""
    assert broadcast([]) == np.broadcast_shapes()


@pytest.mark.parametrize(("shape", "text"), [((), "()"), ((3,), "(3,)"), ((2, 3), "(2,3)")])
def test_shapes_are_shown_as_people_write_them(shape: Shape, text: str) -> None:
    """Without blanks; one dimension keeps its comma."""
    assert show(shape) == text
