"""Functions over a Variable of one's own, as in DeZero: forward gets arrays, backward Variables."""

import numpy as np


class Variable:
    __array_priority__ = 200

    def __init__(self, data):
        self.data = data
        self.grad = None
        self.creator = None

    def backward(self):
        if self.grad is None:
            self.grad = Variable(np.ones_like(self.data))
        function = self.creator
        for x, gradient in zip(function.inputs, function.backward(self.grad), strict=True):
            x.grad = gradient

    def __mul__(self, other):
        return Variable(self.data * getattr(other, "data", other))

    __rmul__ = __mul__


class Function:
    def __call__(self, *inputs):
        output = Variable(np.asarray(self.forward(*(x.data for x in inputs))))
        output.creator = self
        self.inputs = inputs
        return output

    def forward(self, *xs):
        raise NotImplementedError

    def backward(self, gy):
        raise NotImplementedError


class Mul(Function):
    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        a, b = self.inputs
        return gy * b, gy * a


class Sin(Function):
    def forward(self, x):
        return np.sin(x)

    def backward(self, gy):
        (x,) = self.inputs
        return (gy * Variable(-np.cos(x.data)),)  # the sign
