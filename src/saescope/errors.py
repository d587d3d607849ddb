"""Every error a user can cause, as one tree. The command line prints the message and exits with 2; no traceback.

    SaescopeError
    ├── ConfigError                 a value out of range, an unknown field, options that exclude each other
    ├── MissingExtra                an optional dependency is not installed
    ├── ModelError
    │   ├── UnknownModel            no such model, or no module map fits it
    │   ├── UnknownHookPoint        this model has no such hook point
    │   ├── WidthMismatch           the SAE and the hook point have different widths
    │   └── HubUnreachable          a hub name was given and the hub did not answer
    ├── DataError
    │   ├── UnreadableText          no such file, not UTF-8, not the format its name says, no such column
    │   └── NoTokens                nothing left to read: empty text, or shorter than one sequence
    ├── ArtifactError
    │   ├── NotAnArtifact           the folder holds no manifest of the expected kind
    │   ├── CorruptArtifact         a file is cut, changed or missing
    │   ├── NewerSchema             written by a newer saescope
    │   ├── ProvenanceMismatch      made from another model, hook point, corpus or config
    │   ├── OutputOccupied          the output folder holds something else
    │   ├── OutputNotWritable       the output folder cannot be written
    │   ├── RunLocked               another process works in this run folder
    │   └── DiskFull                no space left
    └── TrainingError
        ├── NonFiniteActivations    too many NaN or Inf rows from the model
        └── TrainingDiverged        the loss is not finite three steps in a row

A message says what was given, what was expected (the nearest choices), and what to do. Failures of our own invariants are
`assert`s, never one of these.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SaescopeError(Exception):
    """Base of every error that a user's input can cause."""


class ConfigError(SaescopeError): ...


class MissingExtra(SaescopeError): ...


class ModelError(SaescopeError): ...


class UnknownModel(ModelError): ...


class UnknownHookPoint(ModelError): ...


class WidthMismatch(ModelError): ...


class HubUnreachable(ModelError): ...


class DataError(SaescopeError): ...


class UnreadableText(DataError): ...


class NoTokens(DataError): ...


class ArtifactError(SaescopeError): ...


class NotAnArtifact(ArtifactError): ...


class CorruptArtifact(ArtifactError): ...


class NewerSchema(ArtifactError): ...


class ProvenanceMismatch(ArtifactError): ...


class OutputOccupied(ArtifactError): ...


class OutputNotWritable(ArtifactError): ...


class RunLocked(ArtifactError): ...


class DiskFull(ArtifactError): ...


class TrainingError(SaescopeError): ...


class NonFiniteActivations(TrainingError): ...


class TrainingDiverged(TrainingError): ...


def did_you_mean(given: str, choices: Iterable[str], *, n: int = 3) -> str:
    """ " Did you mean 'a' or 'b'?" for the nearest choices, or "" when none is near. Starts with a space, ends with a mark."""
    near = get_close_matches(given, list(choices), n=n, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(choice) for choice in near)}?" if near else ""
