"""What goes wrong, as one table: a typed error that says what was given, what was expected and what to do; exit code 2, no traceback,
and nothing written. The slower half runs `saescope` as a process: signals, a full disk, a Hub that does not answer.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
import tiny_run
from saescope import cli, disk


@pytest.fixture(scope="module")
def place(model, stories, run_folder, tmp_path_factory):
    """A folder with everything that can be wrong, by the names the table uses."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(model, folder / "tiny-llama")
    shutil.copy(stories, folder / "stories.txt")
    shutil.copytree(run_folder, folder / "demo")
    _models(folder)
    _texts(folder)
    (folder / "file").write_text("x")
    for name in ("other", "full-cache"):
        (folder / name).mkdir()
        (folder / name / "thesis.tex").write_text("x")
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "config.json").write_text('{"schema": "saescope.run/1", "at": "blocks.1.mlp_post"}')
    (folder / "newer").mkdir()
    (folder / "newer" / "config.json").write_text('{"schema": "saescope.run/99"}')
    (folder / "options.json").write_text('{"model": "tiny-llama", "texts": "stories.txt"}')
    np.save(folder / "acts.npy", np.ones((50, 4), np.float32))
    np.save(folder / "nan.npy", np.full((5000, 4), np.nan, np.float32))
    return folder


def _models(folder: Path) -> None:
    broken = tiny.tiny_model("llama")
    broken.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    tiny_run.save_model(folder / "nan-model", broken)
    one_token = tiny.tiny_model("llama")
    one_token.model.embed_tokens.weight.data[tiny.tiny_tokenizer().convert_tokens_to_ids("Ġa")] = torch.nan
    tiny_run.save_model(folder / "nan-for-a", one_token)
    for name in ("cut-model", "no-tokenizer"):
        shutil.copytree(folder / "tiny-llama", folder / name)
    weights = folder / "cut-model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for path in (folder / "no-tokenizer").glob("tokenizer*"):
        path.unlink()


def _texts(folder: Path) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text("  \n<|endoftext|>\n\n")
    (folder / "latin1.txt").write_bytes("le café au lait".encode("latin1"))
    (folder / "short.txt").write_text("the cat")
    (folder / "few.jsonl").write_text('{"text": "a b"}\n{"txt": "c d"}\n')
    (folder / "broken.jsonl").write_text('{"text": "a b"\n')
    (folder / "cut.parquet").write_bytes(b"PAR1 and no more")
    (folder / "no-text").mkdir()
    tiny_run.write_stories(folder / "few.txt", 6)


RUN = "run tiny-llama --text stories.txt --out out " + shlex.join(tiny_run.FLAGS)
TRAIN = RUN.replace("run", "train", 1)
TRAIN_ARRAY = "train --activations acts.npy --d-sae 8 --k 2 --tokens 256 --batch-tokens 64 --out out"
TABLE = [
    # verbs and flags
    ("runn tiny-llama", "ConfigError", "'runn' is not a verb of saescope. Did you mean 'run'? saescope --help"),
    (f"{RUN} --devise cpu", "ConfigError", "no option --devise. Did you mean '--device' saescope run --help"),
    (f"{RUN} extra", "ConfigError", "does not know what to do with 'extra'. saescope run --help"),
    (f"{RUN} --sae gatd", "ConfigError", "'gatd' is not an architecture There are: batch_topk, Did you mean 'gated'"),
    (f"{RUN} --tokens many", "ConfigError", "--tokens: 'many' is not a whole number. saescope run --help"),
    (f"{RUN} --lr nan", "ConfigError", "--lr: 'nan' is not a finite number."),
    (f"{RUN} --lr inf", "ConfigError", "--lr: 'inf' is not a finite number."),
    ("run tiny-llama --text stories.txt", "ConfigError", "--at must be given for tiny-llama saescope hooks tiny-llama"),
    ("run --config options.json --out out", "ConfigError", "texts is not a field Did you mean 'text'"),
    ("run --config absent.json --out out", "ConfigError", "absent.json cannot be read --config"),
    (f"{RUN} --resume --replace", "ConfigError", "--replace --resume exclude each other. Give one"),
    ("features bild demo", "ConfigError", "no action 'bild' Did you mean 'build'?"),
    ("eval demo --rows pcb --out out", "ConfigError", "'pcb' is not a control row. Did you mean 'pca'?"),
    ("show demo 64", "ConfigError", "feature 64 does not exist 64 from 0 to 63"),
    ("show demo -1", "ConfigError", "feature -1 does not exist from 0 to 63"),
    # models
    (f"{RUN} --model ./tiny-lama", "UnknownModel", "no folder ./tiny-lama. Did you mean 'tiny-llama'? Give a model folder"),
    ("hooks ./tiny-lama", "UnknownModel", "no folder ./tiny-lama. Did you mean 'tiny-llama'?"),
    (f"{RUN} --model tiny-lama", "HubUnreachable", "tiny-lama could not be reached Did you mean 'tiny-llama'? local model folder"),
    (f"{RUN} --model gpt2", "HubUnreachable", "gpt2 huggingface.co could not be reached Give the path of a local model folder"),
    (f"{RUN} --model stories.txt", "UnknownModel", "stories.txt is a file. Give the folder of a Hugging Face model"),
    (f"{RUN} --model no-text", "UnknownModel", "no-text no config.json save_pretrained"),
    (f"{RUN} --model no-tokenizer", "UnknownModel", "the tokenizer of no-tokenizer cannot be loaded"),
    (f"{RUN} --model cut-model", "CorruptArtifact", "the weights of cut-model cannot be read Download or save the model again"),
    (f"{RUN} --device gpu", "ConfigError", "device='gpu' Choose auto, cpu"),
    (f"{RUN} --dtype float31", "ConfigError", "dtype='float31' Choose auto, float32"),
    (f"{RUN} --revision main", "ConfigError", "revision='main' local folder only Hub names have revisions"),
    # hook points and widths
    (f"{RUN} --at blocks.2.mlp_post", "UnknownHookPoint", "'blocks.2.mlp_post' (2 layers: 0..1). Did you mean 'blocks.1.mlp_post'"),
    (f"{RUN} --at blocks.1.mlp_pst", "UnknownHookPoint", "'blocks.1.mlp_pst' Did you mean 'blocks.1.mlp_post' saescope hooks"),
    ("eval demo --at blocks.9.mlp_post --out out", "UnknownHookPoint", "'blocks.9.mlp_post' Did you mean saescope hooks"),
    ("eval demo --at blocks.0.resid_post --out out", "WidthMismatch", "d_in=32 blocks.0.resid_post 16 wide blocks.0.mlp_post hooks"),
    ("features build demo --at blocks.0.attn_out --out out", "WidthMismatch", "d_in=32 16 wide trained at blocks.1.mlp_post"),
    # texts
    (f"{RUN} --text storys.txt", "UnreadableText", "no file or folder 'storys.txt' Did you mean 'stories.txt'"),
    (f"{RUN} --text nobody/nothing", "HubUnreachable", "'nobody/nothing' huggingface.co could not be reached local file or folder --text"),
    (f"{RUN} --text empty.txt", "NoTokens", "empty.txt holds no text. Expected at least one document give a file"),
    (f"{RUN} --text blank.txt", "NoTokens", "blank.txt holds no text 2 empty documents Expected at least one"),
    (f"{RUN} --text no-text", "NoTokens", "no-text holds no text files .txt .jsonl .parquet give another folder"),
    (f"{RUN} --text latin1.txt", "UnreadableText", "latin1.txt is not UTF-8 at byte 6. Expected UTF-8 iconv -f LATIN1"),
    (f"{RUN} --text few.jsonl", "UnreadableText", "few.jsonl, line 2 no column 'text' Did you mean 'txt'? --column"),
    (f"{RUN} --text broken.jsonl", "UnreadableText", "broken.jsonl, line 1 is not JSON Mend or remove"),
    (f"{RUN} --text cut.parquet", "UnreadableText", "cut.parquet is not a readable Parquet file"),
    (f"{RUN} --text short.txt", "NoTokens", "short.txt too small report documents --holdout"),
    (f"{RUN} --text short.txt --holdout few.txt --packing stream", "NoTokens", "short.txt 6 tokens, shorter than one sequence of 32"),
    (f"{RUN} --holdout short.txt --packing stream", "NoTokens", "report documents shorter than one sequence of 32 smaller context"),
    (f"{RUN} --holdout storys.txt", "UnreadableText", "'storys.txt' Did you mean 'stories.txt'"),
    (f"{RUN} --holdout stories.txt:999", "ConfigError", "first 999 documents stories.txt has 200. at most 200"),
    (f"{RUN} --holdout stories.txt", "NoTokens", "stories.txt 200 documents none of it 'train'"),
    (f"{RUN} --context 33", "ConfigError", "context of 33 tiny-llama reads at most 32. Lower --context"),
    ("eval demo --text empty.txt --out out", "NoTokens", "empty.txt holds no text. Expected at least one document"),
    ("eval demo --text latin1.txt --out out", "UnreadableText", "latin1.txt is not UTF-8 iconv"),
    # sizes
    (f"{RUN} --k 65", "ConfigError", "k=65 d_sae=64 at most d_sae lower --k or raise --d-sae"),
    (f"{RUN} --expansion 3", "ConfigError", "d_sae=64 expansion=3.0 d_in=32 disagree. Give one of --d-sae, --expansion"),
    (f"{RUN} --sae relu", "ConfigError", "--k does not apply to --sae relu topk, batch_topk, Leave it out"),
    (f"{RUN} --tokens 100", "ConfigError", "tokens=100 less than one batch of 128. Raise --tokens or lower --batch-tokens"),
    ("run tiny-llama --text stories.txt --at blocks.1.mlp_post --sae relu --l1 -1 --out out", "ConfigError", "l1=-1.0 at least 0 --l1"),
    (f"{RUN} --decay 2", "ConfigError", "decay=2.0 share [0, 1]"),
    (f"{RUN} --sparsity-warmup -1", "ConfigError", "sparsity_warmup=-1.0 share [0, 1]"),
    (f"{RUN} --warmup -1", "ConfigError", "warmup=-1.0 number of steps share"),
    (f"{RUN} --context 1", "ConfigError", "context=1 at least 2 --context"),
    *(
        (f"{RUN} --{flag} {value}", "ConfigError", f"{flag.replace('-', '_')}={value} at least 1 --{flag}")
        for flag in ("d-sae", "k", "tokens", "batch-tokens", "documents", "dead-tokens", "checkpoint-steps", "log-steps")
        for value in (0, -3)
    ),
    *(
        (f"{RUN} --{flag} 0", "ConfigError", f"{flag.replace('-', '_')}=0 at least 1 --{flag}")
        for flag in ("silent-tokens", "feature-tokens")
    ),
    *(
        (f"{RUN} --{flag} {value}", "ConfigError", f"{flag.replace('-', '_')}={float(value)} above 0 --{flag}")
        for flag in ("expansion", "lr", "clip-norm", "checkpoint-minutes")
        for value in (0, -1)
    ),
    (f"{RUN} --cards -1", "ConfigError", "cards=-1 at least 0 --cards"),
    *(
        (f"eval demo --out out --{flag} 0", "ConfigError", f"{flag.replace('-', '_')}=0 at least 1 --{flag}")
        for flag in ("fidelity-tokens", "activation-tokens", "silent-tokens", "batch-tokens", "documents")
    ),
    ("features build demo --out out --feature-tokens 0", "ConfigError", "feature_tokens=0 at least 1 --feature-tokens"),
    ("show demo 1 --context -1", "ConfigError", "context=-1 at least 0 --context"),
    (f"{TRAIN_ARRAY} --k 9", "ConfigError", "k=9 d_sae=8 lower --k or raise --d-sae"),
    # where it goes
    (f"{RUN} --out file", "OutputNotWritable", "file cannot be made is a file Choose another folder with --out"),
    (f"{RUN} --out file/below", "OutputNotWritable", "file/below cannot be made is a file --out"),
    (f"{RUN} --out other", "OutputOccupied", "other is not empty holds no run but thesis.tex. new or empty folder with --out"),
    (f"{RUN} --out other --replace", "OutputOccupied", "other is not empty holds no run but thesis.tex --out"),
    (f"{RUN} --out tiny-llama", "OutputOccupied", "tiny-llama is not empty holds no run --out"),
    (f"{RUN} --out newer", "NewerSchema", "saescope.run/99 saescope.run/1 Install a newer saescope"),
    (f"{RUN} --out demo --seed 3", "ProvenanceMismatch", "demo another config train.seed: 0 -> 3 --replace --out"),
    (f"{RUN} --resume", "NotAnArtifact", "out holds no run nothing to resume Leave out --resume"),
    (f"{RUN} --cache full-cache", "OutputOccupied", "full-cache is not empty but thesis.tex --cache"),
    (f"{RUN} --cache file", "OutputNotWritable", "file cannot be made --cache"),
    (f"{RUN} --cache ''", "ConfigError", "cache names nothing auto, never, or a folder --cache"),
    ("eval demo --out other", "OutputOccupied", "other is not empty saescope.eval thesis.tex --out"),
    ("eval demo --out file", "OutputNotWritable", "file cannot be made --out"),
    ("features build demo --out other", "OutputOccupied", "other is not empty saescope.features thesis.tex --out"),
    ("features build demo --out tiny-llama", "OutputOccupied", "tiny-llama is not empty saescope.features --out"),
    (f"{TRAIN_ARRAY} --out other", "OutputOccupied", "other is not empty holds no run thesis.tex --out"),
    # what is no run and no SAE
    ("eval absent", "NotAnArtifact", "absent is no folder. Give a run or an SAE folder"),
    ("eval other", "NotAnArtifact", "other holds no run and no SAE. Give a run or an SAE folder"),
    ("eval unfinished", "NotAnArtifact", "unfinished has no SAE yet. Finish it with the command"),
    ("eval demo/sae", "ConfigError", "demo/sae without a run tiny-llama --model"),
    ("eval demo/sae --model tiny-llama", "ConfigError", "demo/sae without a run --text"),
    ("show absent 1", "NotAnArtifact", "absent holds no run and no features Give a run"),
    ("show unfinished 1", "NotAnArtifact", "unfinished has no features yet. saescope features build unfinished"),
    # numbers that are none
    (f"{RUN} --model nan-model", "NonFiniteActivations", "NaN blocks.1.mlp_post --dtype float32"),
    (f"{TRAIN_ARRAY} --activations nan.npy", "NonFiniteActivations", "nan.npy are NaN or Inf"),
    (f"{TRAIN_ARRAY} --activations absent.npy", "UnreadableText", "absent.npy could not be read .npy or .safetensors"),
    (f"{TRAIN_ARRAY} --activations stories.txt", "UnreadableText", "stories.txt is neither .npy nor .safetensors"),
]


def files(folder: Path) -> dict[str, str]:
    return {name: digest for name, (_, digest) in tiny_run.content(folder).items()}


def assert_said(err: str, error: str, words: str) -> None:
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"error: {error}: "), err
    assert "Traceback" not in err
    for word in words.split():
        assert word in last, f"{word!r} is not in: {last}"


@pytest.mark.parametrize(("command", "error", "words"), TABLE, ids=[row[0].replace(RUN, "RUN") for row in TABLE])
def test_bad_input(place, monkeypatch, capsys, command, error, words):
    monkeypatch.chdir(place)
    before = files(place)
    start = time.monotonic()
    assert cli.main(shlex.split(command)) == 2
    assert time.monotonic() - start < 10
    said = capsys.readouterr()
    assert said.out == ""
    assert_said(said.err, error, words)
    assert not (place / "out").exists()
    assert files(place) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_place_that_cannot_be_written(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for verb in (f"{RUN} --out /proc/saescope/demo", "features build demo --out /proc/saescope/demo", f"{TRAIN_ARRAY} --out /proc/x"):
        assert cli.main(shlex.split(verb)) == 2
        assert_said(capsys.readouterr().err, "OutputNotWritable", "/proc cannot be written Choose another folder with --out")


# --- found while it runs: what was whole stays, nothing half-written ---


@pytest.fixture
def bench(place, tmp_path, monkeypatch):
    """A folder of its own for commands that begin to write, beside links to the models and texts."""
    for name in ("tiny-llama", "nan-for-a", "stories.txt"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        (f"{RUN} --model nan-for-a", "NonFiniteActivations", "of activations at blocks.1.mlp_post are NaN or Inf, row --dtype float32"),
        (f"{RUN} --lr 1e30", "TrainingDiverged", "loss was not finite 3 steps Lower --lr"),
        (f"{RUN} --sae topk --lr 1e30", "TrainingDiverged", "loss was not finite Lower --lr"),
    ],
)
def test_numbers_that_break(bench, capsys, command, error, words):
    assert cli.main(shlex.split(command)) == 2
    assert_said(capsys.readouterr().err, error, words)
    assert not [name for name in left(bench / "out") if name.startswith(("sae", "features", "eval", "result", "index")) or "tmp-" in name]
    assert not (bench / "out" / "run.lock").exists()
    assert cli.main([*shlex.split(TRAIN), "--replace"]) == 0


def test_a_full_disk_while_caching(bench, capsys, monkeypatch):
    monkeypatch.setattr(disk, "_fault_hits", {})
    monkeypatch.setenv("SAESCOPE_FAULT", "shard.write:1:enospc")
    assert cli.main(shlex.split(RUN)) == 2
    assert_said(capsys.readouterr().err, "DiskFull", "no space left writing cache/shards free some, or choose another --out")
    assert left(bench / "out") == {"config.json"}
    monkeypatch.delenv("SAESCOPE_FAULT")
    assert cli.main(shlex.split(TRAIN)) == 0


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes({"cut": data[:middle], "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], "json": b"{"}[how])


@pytest.mark.parametrize(
    ("file", "how", "words"),
    [
        ("shards/rows-*.safetensors", "cut", "shards was cut or changed"),
        ("shards/rows-*.safetensors", "flip", "shards sha256 bytes were changed"),
        ("items/000000.json", "json", "items/000000.json is not valid JSON"),
    ],
)
def test_a_damaged_cache(bench, capsys, file, how, words):
    assert cli.main([*shlex.split(TRAIN), "--cache", "acts"]) == 0
    damage(next((bench / "acts").glob(file)), how)
    capsys.readouterr()
    assert cli.main([*shlex.split(TRAIN), "--cache", "acts", "--out", "second"]) == 2
    assert_said(capsys.readouterr().err, "CorruptArtifact", words)
    assert not (bench / "second" / "sae").exists()


@pytest.mark.parametrize(
    ("verb", "file", "how", "words"),
    [
        ("eval demo --out out", "sae/weights-*", "cut", "weights was cut or changed"),
        ("eval demo --out out", "sae/weights-*", "flip", "weights sha256"),
        ("features build demo --out out", "sae/manifest.json", "json", "sae/manifest.json is not valid JSON"),
        ("show demo 1", "features/manifest.json", "json", "features/manifest.json is not valid JSON"),
        ("show demo 1", "features/features-*", "flip", "features-0 sha256"),
        ("show demo 1", "features/examples-*", "cut", "examples-0 cut or changed"),
        ("run --config demo/config.json --out demo", "result.json", "json", "result.json is not valid JSON"),
        ("run --config demo/config.json --out demo", "eval/latents-*", "flip", "latents sha256"),
        (f"{RUN} --out demo", "config.json", "json", "config.json is not valid JSON"),
    ],
)
def test_a_damaged_run(bench, place, capsys, verb, file, how, words):
    shutil.copytree(place / "demo", bench / "demo")
    damage(next((bench / "demo").glob(file)), how)
    before = files(bench / "demo")
    assert cli.main(shlex.split(verb)) == 2
    assert_said(capsys.readouterr().err, "CorruptArtifact", words)
    assert files(bench / "demo") == before
    assert not (bench / "out").exists()


# --- as a process ---


def start(command: str, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", "import sys; from saescope.cli import main; sys.exit(main())", *shlex.split(command)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > 1000):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGINT, 130, "interrupted."), (signal.SIGTERM, 143, "stopped by SIGTERM.")])
def test_stopped_while_training(bench, number, code, said):
    command = f"{RUN} --tokens 60_000 --log-steps 1 --checkpoint-steps 1000"
    process = start(command, bench)
    wait_for(bench / "out" / "metrics.jsonl", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), err
    assert "Traceback" not in err
    assert f"{said} A checkpoint was written to out/checkpoints/step-" in err
    assert "the same command continues from it" in err
    stopped = left(bench / "out")
    assert any(name.startswith("checkpoints/step-") and name.endswith("manifest.json") for name in stopped)
    assert not [name for name in stopped if "tmp-" in name or name == "run.lock" or name.startswith("sae")]
    assert cli.main([*shlex.split(command), "--resume"]) == 0
    steps = [json.loads(line)["step"] for line in (bench / "out" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 60_000 // 128 + 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "hub", [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}], ids=["offline", "refused"]
)
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run gpt2 --text roneneldan/TinyStories --at blocks.6.mlp_post", "gpt2 huggingface.co could not be reached local model folder"),
        (
            f"{RUN} --text roneneldan/TinyStories",
            "'roneneldan/TinyStories' huggingface.co could not be reached local file or folder --text",
        ),
    ],
)
def test_a_hub_that_does_not_answer(bench, hub, command, words):
    begun = time.monotonic()
    process = start(command, bench, HF_HOME=str(bench / "no-cache"), **hub)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, ""), err
    assert time.monotonic() - begun < 45  # no waiting for an answer that does not come: the rest is imports, slow on a busy machine
    assert_said(err, "HubUnreachable", words)
    assert not (bench / "out").exists()
    assert not (bench / "runs").exists()
