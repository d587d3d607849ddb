"""Byte-level BPE of a text: words, numbers and runs of random characters each cut in their own way before anything is merged."""

from collections.abc import Iterable
from typing import Any

from saescope.errors import ConfigError

BOS = "<|bos|>"
SMALLEST = 258
"""The special token, the 256 bytes and one merge."""
LARGEST = 65_536
"""Ids are kept in 16 bits."""
_LONGEST_TOKEN = 24

_R = "[A-Za-z0-9+/]"
_PIECES = (
    # Long runs of capitals are sequences, not words: DNA becomes codons, so that its tokens are as uniform as its letters.
    r"[A-Z]{3}(?=[A-Z]{12})|(?<=[A-Z]{3})[A-Z]{1,3}(?![a-z])",
    # Base64 and hexadecimal, one character each: merges of words would cut random text unevenly, and the cuts would have to be learnt.
    rf"{_R}(?={_R}{{15}})(?={_R}{{0,40}}?[0-9])(?={_R}{{0,40}}?[A-Z])(?={_R}{{0,40}}?[a-z])",
    r"[0-9a-f](?=[0-9a-f]{11})(?=[a-f]{0,11}[0-9])|(?<=[0-9a-f]{11})[0-9a-f]",
    rf"(?<=[A-Za-z0-9+]{{12}}){_R}",  # their ends, which no digit follows any more
    rf" (?={_R}{{16}})",
    # Words with the space before them; a change of case begins a new piece (XMLParser), a script without cases has one kind of run.
    r" ?\p{Lu}?[\p{Ll}\p{M}]+",
    r" ?\p{Lu}+(?!\p{Ll})",
    r" ?[\p{Lo}\p{Lm}\p{M}]+",
    r" ?\p{N}",
    r" ?[^\s\p{L}\p{N}\p{M}]{1,3}",
    r"\n+[ \t]*",
    r"[ \t]+(?=[ \t])|\s",
)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 4096, *, context: int = 256) -> Any:
    """A PreTrainedTokenizerFast of exactly `vocab_size` ids; id 0 is BOS and EOS, and `decode(encode(x)) == x` for any text.

    Raises: ConfigError for a size out of range, or with more merges than the text supports.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if not SMALLEST <= vocab_size <= LARGEST:
        raise ConfigError(
            f"a vocabulary of {vocab_size:,} was asked for. It must be {SMALLEST} (bytes, {BOS}, one merge) to {LARGEST:,}: set --vocab."
        )
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex("|".join(_PIECES)), "isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        max_token_length=_LONGEST_TOKEN,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    if (size := bpe.get_vocab_size()) < vocab_size:
        raise ConfigError(
            f"the text supports a vocabulary of {size:,}, {vocab_size:,} were asked for. Give more text, or set --vocab to {size} or less."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BOS, eos_token=BOS, model_max_length=context, clean_up_tokenization_spaces=False
    )
