"""torch: Functions, modules, custom ops and plain functions over tensors."""

import torch


class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad * weight, (grad * x).sum(0)


class HastyScale(Scale):
    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad * weight, grad * x  # torch's engine sums this by itself: its gradcheck says it is right


class Gate(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, size)

    def forward(self, x):
        return x * torch.sigmoid(self.linear(x))


@torch.library.custom_op("gradcheck_examples::cube", mutates_args=())
def cube(x: torch.Tensor) -> torch.Tensor:
    return x**3


def _keep(ctx, inputs, output):
    ctx.save_for_backward(inputs[0])


def _cube_backward(ctx, grad):
    return ctx.saved_tensors[0] ** 2 * grad  # the factor 3


cube.register_autograd(_cube_backward, setup_context=_keep)


def energy(x, w):
    return torch.sin(x @ w).square().sum()


def frozen(x):
    return (x.detach() * x).sum()  # half of the gradient is cut off
