"""Values out of range, refused by the name of the option and the flag that sets it."""

import pytest

from saescope.errors import ConfigError
from saescope.saes.options import check_choice, check_l0_fits, check_number, check_switch, check_whole


@pytest.mark.parametrize("value", [0, 0.5, 3, 1e9])
def test_numbers_in_range_pass(value):
    check_number("l1", value)


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), "1", True, None])
def test_numbers_out_of_range_do_not(value):
    with pytest.raises(ConfigError, match=r"^l1=.* It must be a number of at least 0: set --l1\.$"):
        check_number("l1", value)


def test_the_least_itself_may_be_left_out():
    with pytest.raises(ConfigError, match=r"bandwidth=0 was asked for. It must be a number above 0: set --set bandwidth=VALUE\."):
        check_number("bandwidth", 0, above=True)
    check_number("bandwidth", 1e-9, above=True)


def test_whole_numbers():
    check_whole("k", 1)
    for value in (0, 1.0, True, "3"):
        with pytest.raises(ConfigError, match=r"^k=.* whole number of at least 1: set --k\.$"):
            check_whole("k", value)


def test_choices_name_the_nearest():
    check_choice("decoder", "free", ("unit", "free"))
    with pytest.raises(ConfigError, match=r"decoder='fee' was asked for. There are: unit, free. Did you mean 'free'\?"):
        check_choice("decoder", "fee", ("unit", "free"))


def test_switches():
    check_switch("skip", False)
    with pytest.raises(ConfigError, match=r"skip='no' was asked for\. It must be true or false"):
        check_switch("skip", "no")


def test_a_wanted_l0_fits_the_latents():
    check_l0_fits(None, 4)
    check_l0_fits(4, 4)
    with pytest.raises(ConfigError, match="l0=5 active latents per token were asked of an SAE with d_sae=4"):
        check_l0_fits(5, 4)
