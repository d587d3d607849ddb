"""The writer of each kind of document: `write(page, draw, size)` fills the page with about `size` bytes."""

from collections.abc import Callable

from saescope.data.babel import noise, scripts
from saescope.data.babel.cased import write_caps, write_caps_snake, write_numbers, write_snake
from saescope.data.babel.citations import write_academic, write_legal
from saescope.data.babel.code import write_python
from saescope.data.babel.draw import Draw
from saescope.data.babel.latex import write_latex
from saescope.data.babel.markup import write_html
from saescope.data.babel.mixed import write_mixed
from saescope.data.babel.page import Page
from saescope.data.babel.records import write_csv, write_json
from saescope.data.babel.story import write_story
from saescope.data.babel.web import write_http, write_url

Writer = Callable[[Page, Draw, int], None]
WRITERS: dict[str, Writer] = {
    "story": write_story,
    "python": write_python,
    "json": write_json,
    "html": write_html,
    "csv": write_csv,
    "latex": write_latex,
    "http": write_http,
    "url": write_url,
    "academic": write_academic,
    "legal": write_legal,
    "base64_text": noise.write_base64_text,
    "base64_random": noise.write_base64_random,
    "hex": noise.write_hex,
    "dna": noise.write_dna,
    "numbers": write_numbers,
    "caps": write_caps,
    "snake": write_snake,
    "caps_snake": write_caps_snake,
    "arabic": scripts.write_arabic,
    "hebrew": scripts.write_hebrew,
    "hangul": scripts.write_hangul,
    "cyrillic": scripts.write_cyrillic,
    "greek": scripts.write_greek,
    "han": scripts.write_han,
    "devanagari": scripts.write_devanagari,
    "thai": scripts.write_thai,
    "mixed": write_mixed,
}
