import subprocess
import sys

import pytest

from saescope.render.view_models import ExampleView, flag_names, octaves


def test_flags_are_the_bits_of_the_bundle():
    assert flag_names(1 | 16) == ("dead", "duplicate")
    assert flag_names(0) == ()


def test_octaves_sum_quarters():
    assert octaves(tuple(range(64)))[:2] == (0 + 1 + 2 + 3, 4 + 5 + 6 + 7)
    assert len(octaves((0,) * 64)) == 16


def test_an_example_has_one_activation_per_token():
    with pytest.raises(AssertionError, match="1 activations for 2 tokens"):
        ExampleView(tokens=(b"a", b"b"), acts=(1.0,), peak_at=0)
    with pytest.raises(AssertionError, match="peak_at=2"):
        ExampleView(tokens=(b"a", b"b"), acts=(1.0, 0.0), peak_at=2)


def test_rendering_loads_no_torch():
    code = "import sys, saescope.render.card, saescope.web.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
