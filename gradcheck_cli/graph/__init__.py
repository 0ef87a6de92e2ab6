"""An expression of ops as a computational graph, with every gradient on it verified.

`inputs` reads what the expression is about, `expression` parses it by an allow-list and evaluates it gate by gate, and
`verify` compares each gate's gradient with a numeric derivative.
"""

from gradcheck_cli.graph.expression import Gate, evaluate
from gradcheck_cli.graph.inputs import read_inputs
from gradcheck_cli.graph.verify import Verdict, Verified, verify

__all__ = ["Gate", "Verdict", "Verified", "evaluate", "read_inputs", "verify"]
