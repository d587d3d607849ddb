"""How a thing looks, wherever it is shown: in the static page, in a notebook, in a terminal."""
