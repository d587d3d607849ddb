"""The recipe of the bundled model: tokenizer, one-layer model, and a report on how good it is, from a text alone.

saescope run --recipe bundled-model --out runs/model           # the bundled model, from babel
saescope run --recipe bundled-model --seed 1 --out runs/second # another one, for universality
saescope run --recipe bundled-model --text my/texts --out runs/own
"""

import json
import shutil
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch

from saescope.config import to_dict
from saescope.disk import read_json, write_json
from saescope.errors import ConfigError
from saescope.pipeline.reporter import Reporter, Silent
from saescope.recipes.bpe import train_tokenizer
from saescope.recipes.lm_model import build_model, folder_bytes, rounded_, save_model
from saescope.recipes.lm_training import LMTrainConfig, train_language_model
from saescope.recipes.ngram import Bigram
from saescope.recipes.quality import measure, table
from saescope.recipes.samples import N_SAMPLES, check_samples, known_sentences, stream_texts, verbatim
from saescope.recipes.texts import Texts, open_texts
from saescope.recipes.token_stream import TokenStream, encode_stream
from saescope.run_folder import RunFolder

DESCRIPTION = """Train a one-layer language model (attention and a 512-unit ReLU MLP, d_model 128) with a tokenizer of its own,
measure it, and save it as a Hugging Face folder: OUT/model, OUT/report.json.

The same command continues an unfinished run and says "done" for a finished one."""
TOKENIZER_BYTES = 20_000_000
REPORT_DOCUMENTS = 100
"""Of each kind."""


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """What is trained, on what."""

    text: str = "babel"
    """babel, babel:SEED, or a folder or file of text."""
    tokens: int = 20_000_000
    """Tokens to train on. A folder is read whole, several times if it has fewer."""
    vocab: int = 4096
    """Ids of the tokenizer."""
    context: int = 256
    """Positions of the model."""
    lr: float = LMTrainConfig.lr
    """Learning rate at its highest."""
    batch_tokens: int = LMTrainConfig.batch_tokens
    """Tokens per step."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the products while training; bfloat16 is faster where the processor knows it."""
    seed: int = 0
    """Of the initial weights, the order of the text and the samples."""
    threads: int | None = None
    """Processor threads; none: as many as PyTorch takes."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads={self.threads} was asked for. It must be at least 1: set --threads.")
        if self.tokens < 10 * self.context:
            raise ConfigError(f"tokens={self.tokens:,} is too little to learn from. It must be at least 10 contexts: set --tokens.")
        _ = self.training  # checks the rest

    @property
    def training(self) -> LMTrainConfig:
        names = ("tokens", "context", "lr", "batch_tokens", "precision", "seed")
        return LMTrainConfig(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class Options(ModelRecipe):
    """The recipe, and where it goes."""

    out: Path = Path("runs/bundled-model")
    """Folder of the run."""
    replace: bool = False
    """Start anew in a folder that holds another run."""

    @property
    def recipe(self) -> ModelRecipe:
        return ModelRecipe(**{field.name: getattr(self, field.name) for field in fields(ModelRecipe)})


def run(options: Options, reporter: Reporter) -> str:
    """The recipe as a job of the command line; returns what it prints at the end."""
    return summary(make_model(options.recipe, options.out, replace=options.replace, reporter=reporter), options.out)


def make_model(recipe: ModelRecipe, out: Path, *, replace: bool = False, reporter: Reporter | None = None) -> dict[str, Any]:
    """Run the recipe in the folder `out`, or what is left of it; returns the report.

    Raises: ConfigError, UnreadableText, NoTokens, OutputOccupied, ProvenanceMismatch (another recipe's run), RunLocked, DiskFull.
    """
    reporter = reporter or Silent()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    if replace and RunFolder(out).read_config() is not None:
        (out / "report.json").unlink(missing_ok=True)  # what says "finished" goes first
    run = RunFolder.open_or_create(out, to_dict(recipe), replace=replace, finished=("report.json",), free=("threads",))
    with run:
        if run.state == "done":
            reporter.say(f"done: {out} is finished (--replace starts anew)")
        else:
            if run.state == "new":
                shutil.rmtree(out / "work", ignore_errors=True)
            _make(recipe, run, reporter)
        return read_json(out / "report.json", missing=f"{out} holds no report.json. Start anew with --replace.")


def _make(recipe: ModelRecipe, run: RunFolder, reporter: Any) -> None:
    started = time.monotonic()
    texts = open_texts(recipe.text)
    tokenizer = _tokenizer(recipe, texts, run.path / "work", reporter)
    stream = _stream(recipe, texts, tokenizer, run.path / "work", reporter)
    model = build_model(recipe.vocab, recipe.context, seed=recipe.seed, bos_id=tokenizer.bos_token_id)
    train_language_model(
        model, stream, recipe.training, stamp=_stamp(recipe), checkpoints=run.checkpoints,
        stage=lambda total, done: reporter.stage("training", total, done), record=lambda record: _append(run.metrics, record),
    )  # fmt: skip
    rounded_(model)
    trained = time.monotonic()
    reporter.say("measuring the model")
    report = _report(recipe, texts, tokenizer, stream, model)
    save_model(model, tokenizer, run.path / "model", card(recipe, report))
    report |= {
        "model_bytes": folder_bytes(run.path / "model"),
        "seconds": {"training": round(trained - started), "report": round(time.monotonic() - trained)},
    }
    write_json(run.path / "report.json", report)
    shutil.rmtree(run.path / "work", ignore_errors=True)
    shutil.rmtree(run.checkpoints, ignore_errors=True)


def _append(path: Path, record: dict[str, Any]) -> None:
    """One line more; steps that a resumed run makes again stand there twice, the later line holds."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _stamp(recipe: ModelRecipe) -> dict[str, Any]:
    return {name: value for name, value in to_dict(recipe).items() if name != "threads"}


def _tokenizer(recipe: ModelRecipe, texts: Texts, work: Path, reporter: Any) -> Any:
    from transformers import AutoTokenizer

    if (work / "tokenizer.done").is_file():
        return AutoTokenizer.from_pretrained(work / "tokenizer", local_files_only=True)
    reporter.say("training the tokenizer")
    tokenizer = train_tokenizer(texts.tokenizer_texts(TOKENIZER_BYTES), recipe.vocab, context=recipe.context)
    tokenizer.save_pretrained(work / "tokenizer")
    write_json(work / "tokenizer.done", {})
    return tokenizer


def _stream(recipe: ModelRecipe, texts: Texts, tokenizer: Any, work: Path, reporter: Any) -> TokenStream:
    stamp = _stamp(recipe)
    if (stream := TokenStream.load(work / "tokens", stamp)) is not None:
        return stream
    wanted = recipe.tokens if texts.is_babel else None
    with reporter.stage("reading", wanted, 0) as tick:
        stream = encode_stream(texts, tokenizer, wanted, tick)
    stream.save(work / "tokens", stamp)
    return stream


def _report(recipe: ModelRecipe, texts: Texts, tokenizer: Any, stream: TokenStream, model: Any) -> dict[str, Any]:
    bigram = Bigram(stream.tokens, recipe.vocab)
    rows = measure(model, tokenizer, texts.report(REPORT_DOCUMENTS), bigram, context=recipe.context, floors=texts.is_babel)
    report: dict[str, Any] = {
        "text": texts.name,
        "recipe": _stamp(recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_distinct": len(stream.tokens),
        "sources": stream.shares(),
        "kinds": [row.to_json() for row in rows],
        "verdicts": texts.is_babel,
        "table": table(rows, verdicts=texts.is_babel),
    }
    if texts.is_babel:
        checked, stories = check_samples(model, tokenizer, texts.prompts(), n_tokens=recipe.context, seed=recipe.seed, n=N_SAMPLES)
        pieces = _pieces(tokenizer)
        found, all_of_them = verbatim(stories, known_sentences(stream_texts(stream.tokens, tokenizer, pieces)))
        report |= {"samples": checked, "story_sentences": {"sampled": all_of_them, "verbatim_in_training": found}}
    return report


def _pieces(tokenizer: Any) -> list[bytes]:
    from saescope.models.tokenizer import Tokenizer

    own = Tokenizer(tokenizer)
    return [own.token_bytes(i) for i in range(own.vocab_size)]


def summary(report: dict[str, Any], out: Path) -> str:
    """The report as text."""
    lines = [report["table"]]
    if "samples" in report:
        checked, story = report["samples"], report["story_sentences"]
        lines += [
            "",
            *(
                f"{checked['n']} {name} samples: {100 * checked[f'{name}_accepted']:.1f} % accepted by the recogniser of their kind"
                for name in ("free", "prompted")
            ),
            f"story sentences of the samples that stand in the training text: {story['verbatim_in_training']} of {story['sampled']}",
        ]
    return "\n".join([*lines, "", f"model  {out / 'model'}  ({report['model_bytes'] / 1e6:.2f} MB)", f"report {out / 'report.json'}"])


def card(recipe: ModelRecipe, report: dict[str, Any]) -> str:
    """The README of the model's folder."""
    differing = [f"--{field.name.replace('_', '-')} {getattr(recipe, field.name)}" for field in fields(ModelRecipe)
                 if getattr(recipe, field.name) != field.default and field.name != "threads"]  # fmt: skip
    return (
        "# A one-layer language model\n\n"
        f"One block: attention and a 512-unit ReLU MLP, d_model 128; {report['parameters']:,} parameters, byte-level BPE of "
        f"{recipe.vocab:,} tokens, context {recipe.context}. Trained on {recipe.tokens:,} tokens of {report['text']} "
        f"({report['tokens_distinct']:,} of them distinct). Made by\n\n"
        f"    {' '.join(['saescope run --recipe bundled-model', *differing])}\n\n"
        "Cross-entropy on held-out documents:\n\n" + "".join(f"    {line}\n" for line in report["table"].splitlines())
    )
