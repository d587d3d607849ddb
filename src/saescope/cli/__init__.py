"""The command line: `saescope VERB ...`. One verb, one module with `main(argv) -> int`, imported only when it is called."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

VERBS = {
    "run": ("saescope.cli.run", "the main job: text to activations to SAE to result to features, in one run directory"),
    "hooks": ("saescope.cli.hooks", "the hook points of a model, with their widths"),
    "train": ("saescope.cli.train", "train one SAE and save it"),
    "sweep": ("saescope.cli.sweep", "many SAEs on one stream, and what each loses at which L0"),
    "fine-tune": ("saescope.cli.fine_tune", "train a finished SAE further: all of it, its decoder, or one scale per latent"),
    "eval": ("saescope.cli.eval", "measure an SAE beside its control rows"),
    "concepts": ("saescope.cli.concepts", "which labels of a text have a latent of their own, beside neurons and single tokens"),
    "before-after": ("saescope.cli.before_after", "top texts of a neuron beside those of a feature, and how far each set converges"),
    "features": ("saescope.cli.features", "the feature database of an SAE: features build"),
    "show": ("saescope.cli.show", "one feature as a card in the terminal"),
    "convert": ("saescope.cli.convert", "an SAE in another library's format, or one of another library in ours"),
}
CONTINUE = "Finished stages and the last checkpoint are kept: the same command continues."


class _Terminated(SystemExit):
    """SIGTERM, raised where the program stood, so that `finally` blocks run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 2 for an error of use, 130 for Ctrl-C, 143 for SIGTERM.

    A verb that has more to say about an interruption raises `KeyboardInterrupt(message)` or `SystemExit(143)` after printing it.
    `SAESCOPE_DEBUG=1` shows the traceback of an error.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    from saescope.errors import SaescopeError

    try:
        with _sigterm_raises():
            code = _dispatch(argv)
            sys.stdout.flush()
            return code
    except SaescopeError as error:
        return _fail(f"error: {type(error).__name__}: {error}", 2)
    except KeyboardInterrupt as error:
        return _fail(f"interrupted. {str(error) or CONTINUE}", 130)
    except _Terminated:
        return _fail(f"terminated. {CONTINUE}", 143)
    except SystemExit as error:
        return _exit_code(error.code)
    except BrokenPipeError:
        # Nobody reads any more (`| head`). The interpreter flushes stdout once more at exit: give it a place to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def usage() -> str:
    """The text of `saescope --help`."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {line}" for verb, (_, line) in VERBS.items())
    return (
        "saescope: a microscope for language models\n\n"
        "usage: saescope VERB ...\n"
        "       saescope VERB --help\n"
        "       saescope --version\n\n"
        f"verbs:\n{verbs}\n\n"
        "start: saescope run (the bundled model), or saescope run MODEL --text FILE --at blocks.3.mlp_post"
    )


def _dispatch(argv: list[str]) -> int:
    if not argv:
        print(usage(), file=sys.stderr)
        return 2
    verb, rest = argv[0], argv[1:]
    if verb in ("--help", "-h", "help"):
        print(usage())
        return 0
    if verb in ("--version", "-V"):
        from saescope._version import __version__

        print(f"saescope {__version__}")
        return 0
    if verb not in VERBS:
        from saescope.errors import ConfigError, did_you_mean

        raise ConfigError(
            f"{verb!r} is not a verb of saescope.{did_you_mean(verb, VERBS)} The verbs: {', '.join(VERBS)}. See: saescope --help"
        )
    return import_module(VERBS[verb][0]).main(rest)


def _fail(message: str, code: int) -> int:
    if os.environ.get("SAESCOPE_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM as an exception for the time of a verb. Training puts its own handler over this one, to finish its step."""

    def stop(*_: object) -> NoReturn:
        raise _Terminated(143)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
