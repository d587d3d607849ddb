import pytest

from saescope.evals import report
from saescope.evals.result import EvalResult, Metric


@pytest.fixture
def result():
    row = {
        "fidelity.delta_ce": Metric(0.0987, ci=(0.09, 0.11), n=31_923, unit="nats/token"),
        "fidelity.recovered.zero": Metric(None, reason="gap too small"),
        "reconstruction.fvu": Metric(0.12, n=39_828),
        "sparsity.l0": Metric(31.9, n=39_828),
        "sparsity.dead": Metric(1234, n=500_000, unit="latents", reason="never active in 500,000 tokens"),
        "sparsity.n_latents": Metric(4096, unit="latents"),
    }
    missing = {"row": Metric(None, status="missing", reason="missing: train it")}
    rows = {"sae": row, "neurons": row, "random_dictionary": row, "frozen_decoder": missing}
    return EvalResult(rows=rows, warnings=["zero ablation is absurd"])


def printed(renderable) -> str:
    from rich.console import Console

    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_headline(result):
    assert report.headline(result).startswith("sae: delta CE 0.0987, L0 31.9, dead 1,234 of 4,096, FVU 0.120\nneurons: ")


def test_summary_fits_a_terminal_and_says_what_is_missing(result):
    text = printed(report.summary(result))
    assert text.startswith("sae: delta CE")
    assert "…" not in text
    for part in ("0.0987", "1,234", "500,000", "31,923", "frozen_decoder: missing: train it", "warning: zero ablation is absurd"):
        assert part in text.replace("\n", " ").replace("  ", " ")


def test_page_table(result):
    table = report.eval_table(result)
    sae, *_, absent = table.rows
    assert {column.key for column in table.columns} >= {"fidelity.delta_ce", "sparsity.dead"}
    assert sae.cells["fidelity.delta_ce"].ci == (0.09, 0.11)
    assert isinstance(sae.cells["sparsity.dead"].value, int)
    assert sae.cells["fidelity.recovered.zero"].value is None
    assert (sae.cells["fidelity.recovered.zero"].status, sae.cells["fidelity.recovered.zero"].reason) == ("ok", "gap too small")
    assert sae.cells["fidelity.kl"].status == "skipped"
    assert (absent.missing, absent.cells) == ("missing: train it", {})
    assert "500,000" in table.note
