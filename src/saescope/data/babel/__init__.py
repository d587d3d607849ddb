"""babel: a generator of text in many scripts and styles, in which every byte's labels are known.

`document(seed, i)` is a pure function: its text, its kind, and the spans of its labels. `recognise(label, text)` finds again, without
knowing the generator, what a text shows of a label, so that text from a model can be judged by the same rules.
"""

from saescope.data.babel.document import KINDS, BabelDocument, document, numbers, part_of
from saescope.data.babel.families import FAMILIES, LABELS, number_of
from saescope.data.babel.recognise import accepts, kind_of, recognise

__all__ = ["FAMILIES", "KINDS", "LABELS", "BabelDocument", "accepts", "document", "kind_of", "number_of", "numbers", "part_of", "recognise"]
