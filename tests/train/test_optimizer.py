"""Muon: orthogonal steps for the kernels of convolutions, Adam's for everything else."""

import pytest

torch = pytest.importorskip("torch")

from bbcompress.train.optimizer import ADAM_LIKE, Optimizer, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5), (1, 9)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonal(matrix) @ right.T
    assert ((inner.diagonal() > 0.5) & (inner.diagonal() < 1.3)).all()
    assert (inner - inner.diagonal().diag()).abs().max() < 1e-3


def test_kernels_take_orthogonal_steps_and_all_else_adams():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 2, 1))
    network.to(memory_format=torch.channels_last)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    network(torch.randn(2, 4, 5, 5)).square().sum().backward()
    Optimizer(network, 1.0, muon=True).step(learning_rate=0.01)
    kernel, *others = [(old - new).detach() / 0.01 for old, new in zip(before, network.parameters(), strict=True)]
    values = torch.linalg.svdvals(kernel.flatten(1)) / (ADAM_LIKE * 36**0.5)
    assert ((values > 0.5) & (values < 1.3)).all()
    assert (kernel * network[0].weight.grad).sum() > 0  # down the slope
    for step, parameter in zip(others, [*network.parameters()][1:], strict=True):
        assert torch.allclose(step, parameter.grad.sign(), atol=1e-3)  # as Adam's first is
