import os
import socket
import subprocess
import sys

import pytest
import torch

from saescope.errors import ConfigError
from saescope.parallel import World, world

TWO_RANKS = """
import torch
from saescope.parallel import world
w = world(timeout_s=60)
mine = torch.tensor([float(w.rank + 1), 10.0])
assert w.size == 2 and w.is_first == (w.rank == 0)
assert w.all_reduce(mine).tolist() == [3.0, 20.0]
assert w.all_reduce(mine, "max").tolist() == [2.0, 10.0]
assert mine.tolist() == [float(w.rank + 1), 10.0]
assert [t.tolist() for t in w.all_gather(mine)] == [[1.0, 10.0], [2.0, 10.0]]
assert w.broadcast(mine, source=1).tolist() == [2.0, 10.0]
w.barrier()
assert world() == w
torch.distributed.destroy_process_group()
"""


def test_one_process_is_the_identity():
    alone, x = world({}), torch.arange(3.0)
    assert alone == World(0, 1)
    assert alone.is_first
    assert alone.all_reduce(x).tolist() == alone.broadcast(x).tolist() == x.tolist()
    assert [t.tolist() for t in alone.all_gather(x)] == [x.tolist()]
    alone.barrier()


def test_results_are_new_tensors():
    x = torch.zeros(2)
    World().all_reduce(x).add_(1)
    World().broadcast(x).add_(1)
    assert x.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "environ", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x", "WORLD_SIZE": "2"}, {"RANK": "-1", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "0"}]
)
def test_nonsense_is_refused(environ):
    with pytest.raises(ConfigError, match="name no process"):
        world(environ)


@pytest.mark.dist
def test_two_processes():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    base = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", TWO_RANKS], env={**base, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    try:
        said = [rank.communicate(timeout=90)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], said
