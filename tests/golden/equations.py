"""The papers' equations once more, in numpy, written for reading and not for speed.

A `w` is a dict of weights by their names in the SAE classes. `held` is a copy of it for what an equation holds fixed (sg): so a
finite difference that moves `w` alone is the derivative that training takes.
"""

import numpy as np

Arrays = dict[str, np.ndarray]


def relu(a):
    return np.maximum(a, 0)


def mse(e):
    return (e**2).sum(axis=1).mean()


def variance(y):
    return mse(y - y.mean(axis=0))


def norms(w: Arrays):
    return np.sqrt((w["W_dec"] ** 2).sum(axis=1))


def tied(w: Arrays, x):
    return (x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]


def untied(w: Arrays, x):
    return x @ w["W_enc"] + w["b_enc"]


def row_topk(z, k):
    """relu of the k largest of each row."""
    return np.where(z >= np.sort(z, axis=1)[:, -k][:, None], relu(z), 0)


def batch_topk(z, k):
    """relu of the k * n largest of all."""
    return np.where(z >= np.sort(z, axis=None)[-k * len(z)], relu(z), 0)


def gated_h(w: Arrays, x):
    return (x - w["b_dec"]) @ w["W_enc"]


def latents(architecture: str, options: dict, w: Arrays, x):
    """What `loss` reconstructs from."""
    match architecture:
        case "topk":
            return row_topk(tied(w, x), options["k"])
        case "batch_topk" | "matryoshka":
            return batch_topk(tied(w, x), options["k"])
        case "gated":
            h = gated_h(w, x)
            return np.where(h + w["b_gate"] > 0, relu(np.exp(w["r_mag"]) * h + w["b_mag"]), 0)
        case "jumprelu":
            z = untied(w, x)
            return np.where(z > w["theta"], z, 0)
        case "relu":
            return relu(untied(w, x) if options.get("decoder") == "free" else tied(w, x))
        case "autoencoder":
            return relu(tied(w, x))


def is_untied(architecture: str, options: dict) -> bool:
    return architecture == "jumprelu" or options.get("decoder") == "free"


def auxk(w: Arrays, z, y, e_held, dead):
    """alpha is left to the caller; z are the dead latents' pre-activations. e_held is the error under the weights held fixed."""
    if not dead.any() or variance(e_held) == 0:
        return 0.0
    f = row_topk(z, min(y.shape[1] // 2, dead.sum()))
    return variance(y) / variance(e_held) * mse(e_held - f @ w["W_dec"][dead])


def reconstruction(f, w: Arrays):
    return f @ w["W_dec"] + w["b_dec"]


def terms(architecture: str, options: dict, w: Arrays, held: Arrays, x, y, *, dead, scale: float) -> dict[str, float]:
    """Every term of the loss, with its coefficient; `scale` is that of the sparsity term."""
    f = latents(architecture, options, w, x)
    e = y - reconstruction(f, w)
    found = {"mse": mse(e)}
    if "alpha" in options:
        e_held = y - reconstruction(latents(architecture, options, held, x), held)
        pre_acts = gated_h if architecture == "gated" else untied if is_untied(architecture, options) else tied
        found["auxk"] = options["alpha"] * auxk(w, pre_acts(w, x)[:, dead], y, e_held, dead)
    if architecture == "matryoshka":
        found["mse"] = np.mean([mse(y - reconstruction(f * (np.arange(f.shape[1]) < width), w)) for width in options["widths"]])
    if architecture == "relu":
        weighed = f * norms(w) if options.get("decoder") == "free" else f
        found["sparsity"] = scale * options["l1"] * weighed.sum(axis=1).mean()
    if architecture == "gated":
        gates = relu(gated_h(w, x) + w["b_gate"])
        found["sparsity"] = scale * options["l1"] * gates.sum(axis=1).mean()
        found["aux"] = mse(y - (gates @ held["W_dec"] + held["b_dec"]))
    if architecture == "jumprelu":
        found["sparsity"] = scale * options["coefficient"] * jumprelu_sparsity(options, w, x, f, y.shape[1])
        if options["pre_act"]:
            short = relu(w["theta"] - untied(w, x)) * norms(w)
            found["pre_act"] = options["pre_act"] * short[:, dead].sum(axis=1).mean()
    return found


def jumprelu_sparsity(options: dict, w: Arrays, x, f, d):
    active = jumprelu_active(options, w, x, f)
    l0, wanted = active.sum(axis=1), options["l0"]
    match options["sparsity"]:
        case "l0" | "tanh":
            return l0.mean()
        case "target_l0":
            return d * (l0.mean() / wanted - 1) ** 2
        case "target_l0_per_token":
            return (2 / wanted) * ((l0 - wanted) ** 2).mean()
        case "tanh_quadratic":
            phi = active.mean(axis=0)
            return (phi * (1 + phi / 0.01)).sum()


def jumprelu_active(options: dict, w: Arrays, x, f):
    if options["sparsity"].startswith("tanh"):
        return np.tanh(options["tanh_scale"] * f * norms(w))
    return np.where(untied(w, x) > w["theta"], 1.0, 0.0)


def theta_gradient(options: dict, w: Arrays, x, y, *, dead, scale: float):
    """d loss / d theta by the published pseudo-derivatives, every sum written out by hand.

    Through the jump of f, of height theta:  -(theta / eps) sum_n rect g,  g = d loss / d f.
    Through the jump of H, of height 1:      -(1 / eps) sum_n rect g,      g = d loss / d H.
    """
    n, d = y.shape
    z, theta, eps = untied(w, x), w["theta"], options["bandwidth"]
    f = np.where(z > theta, z, 0)
    rect = np.where(np.abs((z - theta) / eps) < 0.5, 1.0, 0.0)
    g_f = -(2 / n) * (y - reconstruction(f, w)) @ w["W_dec"].T
    active = jumprelu_active(options, w, x, f)
    l0, wanted, weight = active.sum(axis=1), options["l0"], scale * options["coefficient"]
    match options["sparsity"]:
        case "l0" | "tanh":
            g_active = np.full_like(z, weight / n)
        case "target_l0":
            g_active = np.full_like(z, weight * d * 2 * (l0.mean() / wanted - 1) / wanted / n)
        case "target_l0_per_token":
            g_active = (weight * (2 / wanted) * 2 * (l0 - wanted) / n)[:, None] * np.ones_like(z)
        case "tanh_quadratic":
            g_active = weight * (1 + 2 * active.mean(axis=0) / 0.01) / n * np.ones_like(z)
    if options["sparsity"].startswith("tanh"):
        g_f = g_f + g_active * (1 - active**2) * options["tanh_scale"] * norms(w)
        gradient = -(theta / eps) * (rect * g_f).sum(axis=0)
    else:
        gradient = -(theta / eps) * (rect * g_f).sum(axis=0) - (1 / eps) * (rect * g_active).sum(axis=0)
    below = (z < theta) & dead  # the pre-activation term is smooth in theta
    return gradient + options["pre_act"] * (below * norms(w)).sum(axis=0) / n
