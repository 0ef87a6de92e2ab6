"""Hand-written code as it is published: the interfaces of real modules, rebuilt in tests/published, run as they stand.

Where they are from: courses (cs231n layers and rnn_layers, deeplearning.ai), books (Deep Learning from Scratch 1
to 3, Neural Networks from Scratch), and widely copied layers (Dense with a learning rate, FCLayer, ML-From-Scratch,
numpy-ml, torch's LinearFunction). The code is our own; names, arguments, caches and attributes are theirs.
"""

import shlex
from pathlib import Path

import pytest
from conftest import Gradcheck

FOLDER = Path(__file__).parent / "published"

CONV = """--param "conv_param={'stride':1,'pad':1}" """
POOL = """--param "pool_param={'pool_height':2,'pool_width':2,'stride':2}" """
PASSES = [
    "cs231n_layers.py::affine --shape 4,2,3 --shape 6,2 --shape 2",
    """cs231n_layers.py::batchnorm --shape 5,3 --shape 3 --shape 3 --param "bn_param={'mode':'train'}" """,
    """cs231n_layers.py::dropout --shape 4,3 --param "dropout_param={'p':0.6,'mode':'train'}" """,
    f"cs231n_layers.py::conv_naive --shape 2,2,4,4 --shape 3,2,3,3 --shape 3 {CONV}",
    f"cs231n_layers.py::max_pool_forward_naive --shape 2,2,4,4 {POOL}",
    "cs231n_layers.py::softmax_loss --shape 4,3 --shape 4",
    "cs231n_layers.py::svm_loss --shape 4,3 --shape 4",
    "cs231n_rnn.py::rnn_step --shape 4,3 --shape 4,2 --shape 3,2 --shape 2,2 --shape 2",
    "cs231n_rnn.py::lstm_step --shape 4,3 --shape 4,2 --shape 4,2 --shape 3,8 --shape 2,8 --shape 8",
    "cs231n_rnn.py::word_embedding --shape 4,2 --shape 5,3",
    "coursera_steps.py::sigmoid --shape 3,4",
    "coursera_steps.py::plain_linear --shape 3,4 --shape 2,3 --shape 2,1",
    "coursera_steps.py::linear_activation --shape 3,4 --shape 2,3 --shape 2,1 --param activation=relu",
    "from_scratch.py::MulLayer --shape 3 --shape 3",
    "from_scratch.py::Affine --shape 4,3 --shape 3,2 --shape 2",
    "from_scratch.py::BatchNormalization --shape 5,3 --shape 3 --shape 3",
    "from_scratch.py::MatMul --shape 4,3 --shape 3,2",
    "from_scratch.py::Embedding --shape 4 --shape 5,3",
    "from_scratch.py::SoftmaxWithLoss --shape 4,3 --shape 4",
    "nnfs_layers.py::Layer_Dense --shape 4,3 --param n_inputs=3 --param n_neurons=2",
    "nnfs_layers.py::Activation_ReLU --shape 4,3",
    "nnfs_layers.py::Activation_Softmax --shape 4,3",
    "updating_layers.py::Dense --shape 3,1 --param input_size=3 --param output_size=2",
    "updating_layers.py::Tanh --shape 3,1",
    "updating_layers.py::FCLayer --shape 1,3 --param input_size=3 --param output_size=2",
    "updating_layers.py::mse --shape 4 --shape 4",
    "function_objects.py::Sigmoid --shape 3",
    "function_objects.py::SquareLoss --shape 3 --shape 3",
    "function_objects.py::Softplus --shape 3",
    "function_objects.py::GradSigmoid --shape 3",
    "parameter_objects.py::Linear --shape 4,3 --param n_input=3 --param n_output=2",
    "parameter_objects.py::FullyConnected --shape 4,3 --param n_in=3 --param n_out=2",
    "dezero_functions.py::Mul --shape 3 --shape 3",
    "dezero_functions.py::Tanh --shape 3",
    "context_functions.py::Mul --shape 3 --shape 3",
]
TORCH_PASSES = [
    "torch_linear.py::LinearFunction --shape 4,3 --shape 2,3",
    "torch_linear.py::LinearFunction --shape 4,3 --shape 2,3 --shape 2",
    "torch_linear.py::Scaled --shape 3 --param factor=2.5",
    "torch_linear.py::SwishFunction --shape 3",
]
# What is wrong as it is published, and why.
FAILS = {
    "cs231n_layers.py::relu --shape 4,3": "GC301 · mutates_upstream",
    "from_scratch.py::Relu --shape 4,3": "GC301 · mutates_upstream",
    "coursera_steps.py::linear --shape 3,4 --shape 2,3 --shape 2,1": "GC201 · wrong_scale",
    # For a batch, the bias should get the sum.
    "updating_layers.py::FCLayer --shape 4,3 --param input_size=3 --param output_size=2": "GC106 · crashes",
}
TORCH_FAILS = {
    "torch_linear.py::STEFunc --shape 3": "GC201",  # not the gradient, on purpose
    "torch_linear.py::GradientReversal --shape 3 --param alpha=1.0": "GC201 · sign_flipped",
}


def run(arguments: str) -> tuple[int, str]:
    outcome = Gradcheck(FOLDER)("run", *shlex.split(arguments), "--no-save", "-q")
    return outcome.code, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("arguments", [*PASSES, *(pytest.param(t, marks=pytest.mark.peers) for t in TORCH_PASSES)])
def test_what_is_right_passes_as_it_stands(arguments: str) -> None:
    """No declaration, no change."""
    code, output = run(arguments)

    assert code == 0, output


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [*FAILS.items(), *(pytest.param(*item, marks=pytest.mark.peers) for item in TORCH_FAILS.items())],
)
def test_what_is_wrong_is_told(arguments: str, finding: str) -> None:
    """With a code, a cause and exit code 1."""
    code, output = run(arguments)

    assert code == 1
    assert finding in output
