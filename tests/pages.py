"""A run page without a run: many scripts, broken UTF-8, hostile text, dead and dense features, missing rows."""

import re
from functools import cache

from saescope.draws import draws
from saescope.render.token_row import mark
from saescope.render.training_curves import TrainingCurves, training_curves
from saescope.render.view_models import (
    ActivationHistogram,
    EvalCell,
    EvalColumn,
    EvalRow,
    EvalTable,
    ExampleGroup,
    ExampleView,
    Fact,
    FeatureCard,
    FeatureRow,
    LogitHistogram,
    Neighbour,
    NeighbourGroup,
    NeuronRow,
    RunPage,
    TokenValue,
    octaves,
)

HOSTILE = '</script><img src=x onerror=alert(1)>"><svg onload=alert(2)>{{7*7}}<!--'
TEXTS = {
    "english": "Once upon a time there was a little girl named Lily. She loved to play outside in the sunshine with her friends. "
    "“Look!” she said — “a bird’s nest.” Her mother smiled and they walked home together before it got dark.\n"
    "The next day it rained, so Lily stayed inside and drew a picture of the tree for her grandmother.",
    "arabic": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميراً وعليهم أن يعامل بعضهم بعضاً بروح الإخاء.",
    "hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. "
    "כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה.",
    "korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. "
    "인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
    "emoji": "great game last night 👍🏽 see you there 🎉🎉 family 👨‍👩‍👧 flags 🇪🇬🇰🇷 and a heart ❤️ for everyone who came along",
    "code": "def forward(self, x):\n\tfor layer in self.layers:\n\t\tx = x + layer(self.norm(x))\n\treturn x  # <b>not bold</b> &amp; done",
    "hostile": f"the comment said {HOSTILE} and then \u202e reversed \u200b zero \x00 nul \r\n end of it",
    "broken": None,
}


@cache
def windows(name: str) -> list[list[bytes]]:
    """A text cut into tokens in four ways."""
    if name == "broken":
        return [[b"caf\xc3", b"(", b"\xff\xfe", b" ok", b"\xe2\x80"] * 8]
    return [split_tokens(TEXTS[name], draws(k, "pages", name)) for k in range(4)]


@cache
def displays() -> list[str]:
    """What `Tokenizer.display` gives for the tokens of the texts."""
    return [mark(token) for name in TEXTS if name != "broken" for token in windows(name)[0]]


def display(rng) -> str:
    return displays()[int(rng.integers(len(displays())))]


def split_tokens(text: str, rng) -> list[bytes]:
    """Words as one token, other scripts in pieces of one to three bytes, as a byte-level vocabulary would."""
    tokens = []
    for word in re.findall(r" ?[A-Za-z]+| ?[0-9]|[\x00-\x7f]|[^\x00-\x7f]+", text):
        raw = word.encode()
        while not raw.isascii():
            n = int(rng.choice([1, 2, 2, 2, 3, 4]))
            tokens.append(raw[:n])
            raw = raw[n:]
            if not raw:
                break
        if raw:
            tokens.append(raw)
    return tokens


def example(rng, kind: str, max_act: float, *, dense: bool = False) -> ExampleView:
    name = str(rng.choice(list(TEXTS), p=[0.5, 0.1, 0.08, 0.08, 0.06, 0.08, 0.05, 0.05]))
    tokens = windows(name)[int(rng.integers(len(windows(name))))]
    start = int(rng.integers(0, max(1, len(tokens) - 65)))
    window = tokens[start : start + 65]
    peak_at = min(len(window) - 1, int(rng.integers(10, 40)))
    level = max_act * (rng.uniform(0.7, 1) if kind == "top" else rng.uniform(0.02, 0.8))
    on = rng.random(len(window)) < (0.9 if dense else 0.08)
    acts = [float(value) for value in level * rng.uniform(0.05, 0.9, len(window)) * on]
    acts[peak_at] = float(level) if kind != "near_miss" else 0.0
    edges = (peak_at + 6,) if rng.random() < 0.1 and peak_at + 6 < len(window) else ()
    bos = start == 0 and rng.random() < 0.5
    if bos:
        window[0], acts[0] = b"<|endoftext|>", 0.0
    return ExampleView(
        tokens=tuple(window),
        acts=tuple(acts),
        peak_at=peak_at if not bos or peak_at else 1,
        peak=float(level),
        doc=int(rng.integers(20_000)),
        position=start + peak_at,
        copies=int(rng.choice([1, 1, 1, 3])),
        ids=tuple(int(i) for i in rng.integers(0, 50_000, len(window))),
        doc_edges=edges,
        specials=(0,) if bos else (),
    )


def feature_card(i: int, rng, row: FeatureRow, *, n_examples: int = 10, more: bool = True) -> FeatureCard:
    if "dead" in row.flags:
        return FeatureCard(
            id=i, n_active=0, n_tokens=300_000, density=0.0, max_act=0.0, flags=row.flags, top_logits=(TokenValue(" the", 0.2, 5),)
        )
    dense = "dense" in row.flags
    log = histogram(rng)
    kinds = [("top", n_examples), ("random", n_examples)] + ([("near_miss", 3)] if more else [])
    groups = [ExampleGroup(kind=k, examples=tuple(example(rng, k, row.max_act, dense=dense) for _ in range(n))) for k, n in kinds]
    if more:
        strata = tuple(
            ExampleGroup(
                kind="stratum",
                examples=(example(rng, "stratum", row.max_act),),
                lo=row.max_act * k / 4,
                hi=row.max_act * (k + 1) / 4,
                n=int(rng.integers(10, 900)),
                share=float(rng.random() / 2),
            )
            for k in (3, 2, 1, 0)
        )
        groups[2:2] = strata
    effects = sorted((float(rng.normal()) * 2 for _ in range(10)), key=abs, reverse=True)
    return FeatureCard(
        id=i,
        n_active=int(row.density * 300_000),
        n_tokens=300_000,
        density=row.density,
        max_act=row.max_act,
        mean_act=row.max_act * 0.3,
        mass_share=row.mass_share,
        enc_dec_cos=float(rng.uniform(0.3, 0.9)),
        label=row.label,
        flags=row.flags,
        histogram=ActivationHistogram(log=log, lin=log, top=2.0 ** int(rng.integers(1, 5))),
        positions=tuple(int(n) for n in rng.integers(1, 400, 8)),
        top_logits=tuple(TokenValue(display(rng), abs(e) + 0.5, 17 + k) for k, e in enumerate(effects)),
        bottom_logits=tuple(TokenValue(display(rng), -abs(e), 117 + k) for k, e in enumerate(effects)),
        logit_histogram=LogitHistogram(counts=tuple(int(20_000 * 2.72 ** (-(((k - 19) / 5) ** 2))) for k in range(40)), lo=-2.1, hi=3.4),
        top_tokens=tuple(TokenValue(display(rng), 0.5 / (k + 1)) for k in range(8)),
        token_entropy=3.21,
        neurons=tuple(NeuronRow(int(rng.integers(512)), float(rng.normal() / 4), float(rng.uniform(-1, 1))) for _ in range(3)),
        neighbours=(
            NeighbourGroup(
                "Nearest decoder directions", tuple(Neighbour(int(rng.integers(300)), 0.8 - 0.1 * k, display(rng)) for k in range(5))
            ),
            NeighbourGroup("Fires together (phi)", tuple(Neighbour(int(rng.integers(300)), 0.6 - 0.1 * k) for k in range(5))),
        ),
        groups=tuple(groups),
        origin="tiny-gpt2 · blocks.0.mlp_post · BatchTopK 512 → 4,096",
    )


def histogram(rng) -> tuple[int, ...]:
    centre, wide = rng.uniform(6, 20), rng.uniform(3, 7)
    return tuple(int(400 * 2.72 ** (-(((k - centre) / wide) ** 2))) if k < 36 else 0 for k in range(64))


def feature_row(i: int, rng) -> FeatureRow:
    if i % 29 == 7:
        return FeatureRow(i, 0.0, 0.0, 0.0, flags=("dead",))
    density = float(10 ** rng.normal(-3, 0.6))
    flags = ("dense",) if i % 41 == 3 else ()
    return FeatureRow(
        i,
        0.14 if flags else min(density, 0.09),
        float(2 ** rng.normal(2.3, 0.7)),
        float(density * rng.uniform(0.01, 0.4)),
        display(rng),
        tuple(display(rng) for _ in range(3)),
        octaves(histogram(rng)),
        flags,
        HOSTILE if i == 5 else "arabic script" if i == 1 else "",
    )


def eval_table() -> EvalTable:
    columns = (
        EvalColumn("fidelity.delta_ce", "delta CE", "nats/token", "lower", "Cross-entropy with x_hat in place of x, minus clean."),
        EvalColumn("fidelity.recovered.zero", "recovered, zero", "", "higher", "(CE_zero − CE_sae) / (CE_zero − CE_clean)."),
        EvalColumn("sparsity.l0", "L0", "latents/token", "", "Mean number of non-zero latents."),
        EvalColumn("reconstruction.ev", "EV", "", "higher", "Explained variance, 1 − FVU."),
        EvalColumn("fidelity.kl", "KL", "nats/token", "lower", "KL(p_clean, p_sae)."),
        EvalColumn("sparsity.dead", "dead", "latents", "lower", "Latents that never fired on 100,000 tokens."),
        EvalColumn("geometry.enc_dec_cos", "enc·dec", "", "", "Median cosine of encoder and decoder directions."),
    )
    values = {
        "sae": (0.081, 0.962, 16.2, 0.871, 0.0712, 12, 0.61),
        "neurons": (0, 1, 212, 1, 0, 0, 1),
        "pca": (1.31, 0.41, 16.2, 0.612, 1.24, 0, 1),
    }
    rows = [
        EvalRow(name, {c.key: EvalCell(float(v), (v * 0.93, v * 1.07), 64_000) for c, v in zip(columns, row, strict=True)})
        for name, row in values.items()
    ]
    rows[1] = EvalRow(
        "neurons", {**rows[1].cells, "fidelity.kl": EvalCell(None, status="skipped", reason="same as clean")}, "the model's own coordinates"
    )
    rows += [EvalRow("untrained", missing="missing: saescope eval runs/demo --rows untrained")]
    return EvalTable(
        columns,
        tuple(rows),
        "95 % intervals by 1,000 bootstrap resamples of 412 held-out documents; position 0 and special tokens do not count.",
    )


def training() -> TrainingCurves | None:
    """The course of a run with warm-up, decay and dying latents."""

    def facts(i: int) -> dict[str, float]:
        loss = 400 / (i + 2) + 50
        return {"mse": loss, "auxk": loss / 90, "l0": 16.0, "fvu": loss / 512, "dead": i / 9000, "lr": 1e-3 * min(1, i / 9, (200 - i) / 40)}

    return training_curves([{"step": 100 * i, "tokens": 102_400 * i, "saes": {"sae": facts(i)}} for i in range(1, 196)])


def run_page(n_features: int = 4096, n_cards: int = 200, *, seed: int = 0, more: bool = True) -> RunPage:
    rng = draws(seed, "pages")
    rows = tuple(feature_row(i, rng) for i in range(n_features))
    return RunPage(
        title="tiny-gpt2 · blocks.0.mlp_post · BatchTopK 4,096",
        facts=(
            Fact("Model", "tiny-gpt2", "1 layer, d_model 128, MLP 512"),
            Fact("Hook point", "blocks.0.mlp_post", "512 wide, after the nonlinearity"),
            Fact("SAE", "BatchTopK, 512 → 4,096", "k 16, 20,000,000 tokens, seed 0"),
            Fact("Text", "wikitext2", "documents up to 128 tokens, BOS first"),
            Fact("Held out", "412 documents (5 %)", "never trained on; the result below is from them"),
            Fact("Features read from", "300,000 tokens", "position 0 and special tokens left out"),
        ),
        table=eval_table(),
        features=rows,
        cards=tuple(feature_card(i, rng, rows[i], more=more) for i in range(min(n_cards, n_features))),
        cards_note="200 of 4,096 features: half by share of mass, half drawn evenly over log density.",
        warnings=("12 features never fired on the 300,000 tokens read.",),
        provenance=(Fact("SAE weights", "sha256 3f9a0c11d2e4"), Fact("Corpus", "sha256 77ab02fe9911"), Fact("saescope", "0.1.0")),
        training=training(),
        command="saescope run tiny-gpt2 --text wikitext2.txt --at blocks.0.mlp_post --d-sae 4096 --k 16 --out runs/demo",
    )
