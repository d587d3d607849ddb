"""`evaluate_each`: the results of several dictionaries at one hook point, for the price of the model's forwards once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from saescope import errors
from saescope.activations.encode import Dictionary
from saescope.data.corpus import Corpus
from saescope.data.packing import PackConfig
from saescope.evals.controls import TRAINED
from saescope.evals.evaluate import EvalConfig, Evaluation, Progress, evaluate
from saescope.evals.result import EvalResult, Metric
from saescope.evals.rows import check_widths
from saescope.models.route import Route

if TYPE_CHECKING:
    from saescope.models.hook_point import HookPoint
    from saescope.models.language_model import LanguageModel


def evaluate_each(
    saes: Mapping[str, Dictionary],
    lm: "LanguageModel",
    at: "HookPoint | str | Route",
    text: Corpus,
    cfg: EvalConfig,
    *,
    pack: PackConfig,
    progress: Progress | None = None,
) -> dict[str, EvalResult]:
    """What `evaluate` says of each of several dictionaries alone, without control rows. All read and write the same hook points.

    Forwards of the model are shared: one clean pass, one for each ablation. Crosscoders, whose every hook point is spliced, are
    evaluated one by one. Raises: ConfigError (control rows, or nothing to evaluate), and what `evaluate` raises.
    """
    if cfg.controls or not saes:
        raise errors.ConfigError("evaluate_each has no control rows, and needs a dictionary. Set controls=(), or use evaluate.")
    route = Route.of(lm, at)
    if len(route.reads) > 1:
        return {name: evaluate({"sae": sae}, lm, route, text, cfg, pack=pack, progress=progress) for name, sae in saes.items()}
    for name, sae in saes.items():
        check_widths(sae, lm, route, what=f"row {name!r}")
    job = Evaluation(saes, lm, route, text, cfg, pack, progress or (lambda *_: None))
    job.tested = tuple(saes)
    fit = job.fit_selection()
    job.read_activations()
    job.measure_fidelity(fit.mean)
    absent = {name: {"row": Metric(None, status="missing", reason=reason)} for name, reason in TRAINED.items()}
    return {name: job.result_of(name, {"sae": job.metrics[name], **absent}, {}) for name in saes}
