"""The kernels: each backend computes each operation as it is defined. Triton runs by its interpreter where there is no GPU."""

import importlib.util

import pytest
import torch

from saescope.errors import ConfigError
from saescope.saes.kernels import compiled, kernels, using
from saescope.saes.select import Bar, Encoder, select
from variants import make, normal, state, target_of, total

CPU = torch.device("cpu")


@pytest.fixture(params=["torch", "compiled", "triton"])
def ops(request):
    """The operations of a backend."""
    if request.param == "compiled" and compiled.load() is None:
        pytest.skip("there is no C compiler here")
    if request.param == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed: pip install triton")
    with using(request.param):
        found = kernels(CPU, torch.float32)
        assert found.name == request.param
        yield found


@pytest.mark.parametrize("n", [0, 1, 300])
@pytest.mark.parametrize("d", [5, 130])
def test_row_products(ops, n, d):
    a, b = normal(40, d).float(), normal(200, d, name="b").float()
    token, latent = torch.arange(n) * 40 // max(n, 1), torch.arange(n) * 7 % 200
    torch.testing.assert_close(ops.row_products(a, b, token, latent), (a[token] * b[latent]).sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [5, 130, 1500])
def test_row_sums(ops, d):
    rows, index, weights = normal(30, d).float(), torch.arange(50) * 7 % 30, normal(50, name="w").float()
    starts = torch.tensor([0, 0, 20, 49, 50, 50])  # empty ones first, last and between
    wanted = torch.stack([weights[a:b] @ rows[index[a:b]] for a, b in zip(starts, [*starts[1:], 50], strict=True)])
    torch.testing.assert_close(ops.row_sums(index, weights, rows, starts), wanted, rtol=1e-5, atol=1e-5)


def test_row_sums_of_nothing(ops):
    found = ops.row_sums(torch.zeros(0, dtype=torch.int64), torch.zeros(0), normal(3, 4).float(), torch.zeros(2, dtype=torch.int64))
    assert torch.equal(found, torch.zeros(2, 4))


@pytest.mark.parametrize("m", [0, 60])
@pytest.mark.parametrize("d", [5, 130])
def test_decode_gradients(ops, m, d):
    """Those of autograd on the whole matrix, values of 0 among the pairs."""
    g, W_dec = normal(12, d).float(), normal(20, d, name="W").float().requires_grad_()
    token, latent = torch.arange(m) % 12, torch.arange(m) // 4 + 2  # latents without pairs first and last
    values = normal(m, name="v").float().relu()
    latents = torch.zeros(12, 20).index_put((token, latent), values).requires_grad_()
    (latents @ W_dec).backward(g)
    counts = torch.bincount(latent, minlength=20)
    dvalues, dW_dec = ops.decode_gradients(g, W_dec.detach(), values, token, latent, counts.cumsum(0) - counts)
    torch.testing.assert_close(dvalues, latents.grad[token, latent], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dW_dec, W_dec.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [5, 1500])
def test_project_rows(ops, d):
    g, w = normal(20, d).float(), normal(20, d, name="w").float()
    w /= w.norm(dim=1, keepdim=True)
    wanted = g - (g * w).sum(1, keepdim=True) * w
    squares = ops.project_rows_(g, w)
    torch.testing.assert_close(g, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(squares, wanted.square().sum(1))


@pytest.mark.parametrize("d", [5, 1500])
def test_normalise_rows(ops, d):
    w = 100 * normal(20, d).float()
    w[3] = 0
    wanted = torch.nn.functional.normalize(w, dim=1)
    ops.normalise_rows_(w)
    torch.testing.assert_close(w, wanted)
    assert (w[3] == 0).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_pairs_are_chosen(ops, precision):
    e = Encoder(normal(96, 16, name="W").float().T / 4, 0.1 * normal(96, name="b").float())
    x = normal(12, 16).float()
    pairs, values = select(x, e, Bar(per_token=4), precision)
    top = (x @ e.W_enc + e.bias).topk(4, dim=1)
    wanted = torch.zeros(12, 96).scatter_(1, top.indices, top.values.relu())
    torch.testing.assert_close(torch.zeros(12, 96).index_put((pairs.token, pairs.latent), values), wanted)


@pytest.mark.parametrize("name", ["topk", "relu", "gated", "jumprelu target_l0", "matryoshka", "transcoder batch_topk"])
def test_losses_and_gradients_are_the_dense_ones(ops, name):
    found = []
    for sparse in (False, True):
        sae = make(name, 16, 24)
        x = normal(20, sae.d_in).float()
        total(sae.loss(x, target_of(sae, 20).float() if sae.transcodes else x, state(sae, (3, 9), sparse=sparse))).backward()
        sae.constrain_()
        found.append({key: p.grad for key, p in sae.named_parameters() if p.grad is not None} | {"rows": sae.W_dec.detach()})
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()) + 1e-12, msg=key)


def test_triton_on_a_cpu_without_its_interpreter_is_refused(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with using("triton"), pytest.raises(ConfigError, match="SAESCOPE_KERNELS=triton was set, but the device is a CPU"):
        kernels(CPU, torch.float32)


@pytest.mark.filterwarnings("ignore:Triton cannot be loaded")
def test_a_gpu_takes_triton_or_else_pytorch():
    has = importlib.util.find_spec("triton") is not None
    assert kernels(torch.device("cuda"), torch.float32).name == ("triton" if has else "torch")
