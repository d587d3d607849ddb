"""The card of one feature in a terminal: rich renderables that read at 80 columns and keep their numbers without colour."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from saescope.render.numbers import count, number, percent, share, signed, tick
from saescope.render.panels import KIND_NOTES, KIND_TITLES
from saescope.render.rows import STEPS, readable, step
from saescope.render.token_row import cells
from saescope.render.view_models import ActivationHistogram, ConceptView, ExampleGroup, ExampleView, FeatureCard, TokenValue, octaves

BLOCKS = " ▁▂▃▄▅▆▇█"
CONTEXT = 12
LISTED = 10
EXAMPLES = {"top": 8, "random": 5}
_PALE, _FULL = (255, 236, 210), (232, 110, 10)
_PALE_BLUE, _FULL_BLUE = (222, 235, 252), (59, 125, 216)


def card_text(card: FeatureCard) -> RenderableType:
    """Statistics, histogram, logit effects and examples of one feature, for `rich.print`."""
    parts: list[RenderableType] = [_head(card), _statistics(card)]
    if card.concept:
        parts += [Text(), *_concept(card.concept)]
    if card.histogram and card.n_active:
        parts += [Text(), *_histogram(card.histogram)]
    lists = list(_lists(card))
    if lists:
        parts += [Text(), Columns(lists, padding=(0, 3))]
    groups = [group for group in card.groups if group.kind in EXAMPLES and group.examples]
    for group in groups:
        parts += [Text(), *_examples(group, card.max_act)]
    if not groups:
        parts += [Text(), Text(f"No examples: it fired on none of the {count(card.n_tokens)} tokens read.", style="dim")]
    return Group(*parts)


def _head(card: FeatureCard) -> RenderableType:
    title = Text(f"feature {card.id}", style="bold")
    if card.label:
        title.append(f"  {readable(card.label)}", style="bold dark_orange")
    for flag in card.flags:
        title.append(f"  [{flag}]", style="yellow")
    lines = [Rule(title, align="left", style="dim")]
    return Group(*lines, Text(readable(card.origin), style="dim")) if card.origin else lines[0]


def _statistics(card: FeatureCard) -> Text:
    facts = [
        ("density", f"{percent(card.density)}  ({count(card.n_active)} of {count(card.n_tokens)} tokens)"),
        ("max", number(card.max_act)),
        ("mean", number(card.mean_act)),
    ]
    if card.mass_share is not None:
        facts.append(("mass", percent(card.mass_share)))
    if card.enc_dec_cos is not None:
        facts.append(("enc·dec", number(card.enc_dec_cos)))
    return Text("   ").join(Text.assemble((name, "dim"), " ", (value, "bold")) for name, value in facts)


def _concept(concept: ConceptView) -> Iterator[Text]:
    """The best label, and the share of active tokens that have it by activation, weak to strong, as blocks of 0 to 100 %."""
    facts = (("precision", share(concept.precision)), ("recall", share(concept.recall)), ("purity", share(concept.purity)))
    line = Text.assemble(("best label ", "dim"), (readable(concept.name), "bold dark_orange"))
    for name, value in (*facts, ("base", percent(concept.base))):
        line.append(f"  {name} ", style="dim").append(value, style="bold")
    yield line
    bars = "".join("·" if i.share is None else BLOCKS[max(1, round(8 * i.share))] for i in concept.intervals)
    if bars:
        ends = f" {percent(_end(concept, 0))} … {percent(_end(concept, -1))} of its active tokens, weak to strong"
        yield Text.assemble((bars, "dark_orange"), (ends, "dim"))
    yield Text(f"label chosen on S ({count(concept.n_select)} tokens), figures from R ({count(concept.n_report)})", style="dim")


def _end(concept: ConceptView, place: int) -> float | None:
    """Share in the weakest or strongest interval that has tokens."""
    shares = [interval.share for interval in concept.intervals if interval.share is not None]
    return shares[place] if shares else None


def _histogram(hist: ActivationHistogram) -> Iterator[Text]:
    """Quarter octaves as blocks, weak to strong, above their octave edges."""
    used = max(4, max((i for i, n in enumerate(octaves(hist.log)) if n), default=0) + 1)
    bins = list(reversed(hist.log[: used * 4]))
    top = max(bins) or 1
    yield Text.assemble(("activations ", "dim"), (f"log axis, tallest {count(max(bins))} tokens", "dim"))
    bars = "".join(BLOCKS[0 if n == 0 else max(1, round(8 * n / top))] for n in bins)
    yield Text(bars, style="dark_orange")
    every = 1 if used <= 4 else 2 if used <= 10 else 4
    scale = "".join(tick(hist.top / 2 ** (used - i)).ljust(4 * every) for i in range(0, used, every))
    yield Text(scale + tick(hist.top), style="dim")


def _lists(card: FeatureCard) -> Iterator[Table]:
    if card.top_logits:
        yield _token_table("promotes", card.top_logits, signed)
    if card.bottom_logits:
        yield _token_table("suppresses", card.bottom_logits, signed)
    if card.top_tokens:
        yield _token_table("fires on", card.top_tokens, percent)


def _token_table(title: str, tokens: Sequence[TokenValue], shown: Callable[[float], str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=True, header_style="dim", pad_edge=False)
    table.add_column(title, max_width=14, no_wrap=True, overflow="ellipsis")
    table.add_column("", justify="right")
    for token in tokens[:LISTED]:
        table.add_row(Text(readable(token.token)), Text(shown(token.value), style="dim"))
    return table


def _examples(group: ExampleGroup, max_act: float) -> Iterator[RenderableType]:
    yield Text.assemble((group.title or KIND_TITLES[group.kind], "bold"), ("  " + KIND_NOTES[group.kind], "dim"))
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, pad_edge=False, expand=True)
    table.add_column(justify="right", width=7, style="dim")
    table.add_column(ratio=1)
    for example in group.examples[: EXAMPLES[group.kind]]:
        table.add_row(number(example.peak), TokenRow(example, max_act))
    yield Padding(table, 0)


@dataclass(frozen=True)
class TokenRow:
    """A row of text with tinted tokens; a console without colour shows the peak in «guillemets» instead."""

    example: ExampleView
    max_act: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield token_text(self.example, self.max_act, quoted=console.color_system is None)


def token_text(example: ExampleView, max_act: float, *, context: int = CONTEXT, quoted: bool = False) -> Text:
    """The tokens within `context` of the peak. Newlines are shown as ⏎ and do not break the row."""
    walls = {*example.doc_edges, *example.specials, *(i + 1 for i in example.specials)}
    row = Text(overflow="fold")
    for cell in cells(example.tokens, walls):
        if cell.stop - 1 < example.peak_at - context or cell.start > example.peak_at + context:
            continue
        if cell.start in example.doc_edges:
            row.append(" ┃ ", style="dim")
        act = max(example.acts[cell.start : cell.stop], key=abs)
        peak = cell.start <= example.peak_at < cell.stop
        style = "dim" if cell.start in example.specials else _style(act, max_act, peak)
        row.append(f"«{cell.text}»" if quoted and peak else cell.text, style=style)
    return row


def _style(act: float, max_act: float, peak: bool) -> str:
    tint = step(act, max_act)
    if not tint:
        return "underline" if peak else ""
    pale, full = (_PALE_BLUE, _FULL_BLUE) if act < 0 else (_PALE, _FULL)
    red, green, blue = (round(a + (b - a) * tint / STEPS) for a, b in zip(pale, full, strict=True))
    return f"{'bold ' if peak else ''}#1b1a17 on #{red:02x}{green:02x}{blue:02x}"
