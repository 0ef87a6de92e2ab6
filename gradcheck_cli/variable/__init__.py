"""Derivatives of any order of plain NumPy code: a tape over the registered ops.

`tape` records calls of ops and sends gradients back, `dispatch` finds the op for a NumPy function, `handle` ties both
to an array, `variable` is what NumPy and people see of it, and `derivatives` are small functions over it.
"""

from gradcheck_cli.variable.derivatives import hvp, jacobian, jvp, vjp
from gradcheck_cli.variable.dispatch import using
from gradcheck_cli.variable.tape import no_grad
from gradcheck_cli.variable.variable import Variable, apply, backward

__all__ = ["Variable", "apply", "backward", "hvp", "jacobian", "jvp", "no_grad", "using", "vjp"]
