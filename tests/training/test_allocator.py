"""Freed memory that stays for the next step."""

import ctypes
import json
import subprocess
import sys

import pytest
import torch

from saescope.training import allocator

STEPS = """
import json, resource, torch
from saescope.training.allocator import keep_freed_memory

def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.zeros(n * 2**20) for n in (3, 3, 3, 3, 12)]
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with keep_freed_memory():
    inside = [faults_of_a_step() for _ in range(6)]
print(json.dumps({"inside": inside, "after": faults_of_a_step(), "pages": 8 * 3 * 2**22 // resource.getpagesize()}))
"""
"""Pages that steps of several matrices fault in: in a process of its own, whose heap no other test has cut into pieces."""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_a_step_reuses_the_pages_of_those_before_it_and_gives_them_back_afterwards():
    ran = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert found["inside"][0] > 0.5 * found["pages"]
    assert found["inside"][-1] < 0.05 * found["pages"]
    assert found["after"] > 0.5 * found["pages"]


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "other")
    with allocator.keep_freed_memory():
        assert torch.zeros(3).sum() == 0
