"""Freed memory that stays for the next step."""

import ctypes
import resource
import sys

import pytest
import torch

from saescope.training import allocator

BLOCKS, BLOCK_BYTES = 8, 12 * 2**20


def faults_of_a_step() -> int:
    """Pages that one step of several matrices has faulted in."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.zeros(BLOCK_BYTES // 4) for _ in range(BLOCKS)]
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_a_step_reuses_the_pages_of_those_before_it_and_gives_them_back_afterwards():
    pages = BLOCKS * BLOCK_BYTES // resource.getpagesize()
    with allocator.keep_freed_memory():
        faults_of_a_step()
        faults_of_a_step()
        assert faults_of_a_step() < 0.05 * pages
    assert faults_of_a_step() > 0.5 * pages


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "other")
    with allocator.keep_freed_memory():
        assert torch.zeros(3).sum() == 0
