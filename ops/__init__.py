"""The built-in catalogue, one file per family; it arrives through an entry point, as anybody's would."""

from gradcheck_cli import Op

from . import elementwise, nn, products, reductions, shapes

OPS: list[Op] = [
    *elementwise.OPS,
    *reductions.OPS,
    *shapes.OPS,
    *products.OPS,
    *nn.OPS,
]
