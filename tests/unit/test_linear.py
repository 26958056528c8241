"""Which library multiplies: decided by the processor's maker, and the same numbers by either."""

import pytest
import torch

from ptrag.arms.neural import linear

AMD, INTEL = "AuthenticAMD", "GenuineIntel"


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """Pretend to run on a maker's processor; count what oneDNN multiplies."""
    counted = []
    original = linear._ONEDNN

    def onednn(x, weight, *more):
        counted.append(tuple(weight.shape))
        return original(x, weight, *more)

    def pretend(maker):
        file = tmp_path / "cpuinfo"
        if maker:
            file.write_text(f"processor\t: 0\nvendor_id\t: {maker}\nmodel\t: 1\n" * 2)
        monkeypatch.setattr(linear, "CPU_INFO", file)
        monkeypatch.setattr(linear, "_ONEDNN", original and onednn)
        linear.maker.cache_clear()
        return counted

    yield pretend
    linear.maker.cache_clear()


@pytest.mark.parametrize(("maker", "expected"), [(AMD, AMD), (INTEL, INTEL), (None, "")])
def test_the_processor_says_who_made_it(processor, maker, expected):
    processor(maker)
    assert linear.maker() == expected


@pytest.mark.skipif(linear._ONEDNN is None, reason="torch was built without oneDNN")
@pytest.mark.parametrize(
    ("maker", "by_onednn"), [(AMD, [(7, 3), (3, 7)]), (INTEL, [(7, 3)]), (None, [(7, 3)])]
)
def test_what_narrows_is_left_to_mkl_but_on_amd(processor, maker, by_onednn):
    counted = processor(maker)
    for shape in ((7, 3), (3, 7)):
        linear.product(torch.randn(2, 5, shape[1]), torch.randn(shape))
        linear.product(torch.randn(2, 5, shape[1]).double(), torch.randn(shape).double())
    assert counted == by_onednn


@pytest.mark.parametrize("maker", [AMD, INTEL])
@pytest.mark.parametrize("shape", [(2784, 128), (128, 2784), (5, 1), (1, 5)])
def test_products_agree_with_those_of_doubles(processor, maker, shape):
    processor(maker)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, 8, shape[1]), torch.randn(shape), torch.randn(shape[0])
    expected = x.double() @ weight.double().T + bias.double()
    ours = linear.product(x, weight, bias)
    assert (ours - expected).abs().max() < 4e-7 * shape[1] ** 0.5 * expected.abs().max()
    again = linear.product(x, weight, bias)
    assert torch.equal(ours, again), "the same bits each time"
    across = linear.product(x, weight.T.contiguous().T, bias)
    torch.testing.assert_close(across, ours)
