"""A tensor in a file: every operation gives what it gives in memory, and row operations stay lazy."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import holdfast
from holdfast.core import filed
from holdfast.core.errors import DataError
from holdfast.core.filed import FiledTensor, all_rows, dense
from holdfast.core.row_file import RowFile
from holdfast.core.rows import Rows, cat

PLACES = torch.tensor([3, 3, 7, 8, 9, 2, 49])
EVERY = torch.arange(50) % 3 == 0


@pytest.fixture
def memory():
    return torch.randint(256, (50, 3, 4, 4), dtype=torch.uint8)


@pytest.fixture
def disk(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(filed, "LAZY", 200)
    (tmp_path / "rows").write_bytes(memory.numpy().tobytes())
    return all_rows(RowFile(tmp_path / "rows", (3, 4, 4)))


LAZY = {
    "places": lambda x: x[PLACES],
    "list": lambda x: x[PLACES.tolist()],
    "mask": lambda x: x[EVERY],
    "of a choice": lambda x: x[EVERY][PLACES % 10],
    "slice": lambda x: x[2:20],
    "step": lambda x: x[1::2],
    "from the end": lambda x: x[-30:],
    "split": lambda x: x.split(20)[1],
    "tensor_split": lambda x: x.tensor_split(3)[1],
    "flatten": lambda x: x.flatten(1),
    "places of flat rows": lambda x: x.flatten(1)[PLACES],
    "view": lambda x: x.view(len(x), -1),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "contiguous": lambda x: x.contiguous(),
    "cat": lambda x: torch.cat([x[EVERY], torch.ones_like(x[0])[None], x]),
    "places of cat": lambda x: torch.cat([x, torch.ones_like(x[:2])])[PLACES + 2],
    "cat twice": lambda x: torch.cat([torch.cat([x[:9], 0 * x[:1]]), torch.ones_like(x[:2]), x]),
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}  # fmt: skip
READ = {
    "one": lambda x: x[5],
    "last": lambda x: x[-1],
    "few": lambda x: x[:3],
    "none": lambda x: x[:0],
    "channel": lambda x: x[:, 0],
    "pixel": lambda x: x[0, 0],
    "sum": lambda x: x.sum(),
    "float": lambda x: x.float() / 255,
    "mean": lambda x: x.float().mean((0, 2, 3)),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "clone": lambda x: x.clone(),
    "stack": lambda x: torch.stack([x, x]),
    "cat of channels": lambda x: torch.cat([x, x], 1),
}


@pytest.mark.parametrize("name", LAZY)
def test_row_operations_stay_in_the_file_while_rows_are_many(disk, memory, name):
    result = LAZY[name](disk)
    assert isinstance(result, FiledTensor)
    assert result.shape == LAZY[name](memory).shape
    assert torch.equal(result.dense(), LAZY[name](memory))


@pytest.mark.parametrize("name", READ)
def test_everything_else_reads_and_is_right(disk, memory, name):
    result = READ[name](disk)
    assert not isinstance(result, FiledTensor)
    assert torch.equal(result, READ[name](memory))


def test_rows_are_chosen_from_the_file_and_few_are_in_memory(disk, memory):
    y = torch.arange(50)
    rows, other = (Rows(x, y, torch.zeros_like(y), y) for x in (disk, memory))
    batch = rows[torch.tensor([4, 1])]
    assert not isinstance(batch.x, FiledTensor)
    assert torch.equal(batch.x, memory[[4, 1]])
    assert isinstance(rows.to("cpu").x, FiledTensor)
    both = cat([rows, other])
    assert isinstance(both.x, FiledTensor)
    assert torch.equal(torch.cat([piece.x for piece in both.batches(3)]), torch.cat([memory] * 2))


def test_a_file_that_is_cut_or_gone_is_named(disk, memory, tmp_path):
    with pytest.raises(DataError, match="none cannot be opened: No such file"):
        RowFile(tmp_path / "none", (3, 4, 4))
    (tmp_path / "cut").write_bytes(memory.numpy().tobytes()[:-1])
    with pytest.raises(DataError, match="cut ends within a row"):
        RowFile(tmp_path / "cut", (3, 4, 4))
    (tmp_path / "rows").write_bytes(b"")
    with pytest.raises(DataError, match="became shorter"):
        dense(disk)


LIMITED = """
import resource, sys, torch
from pathlib import Path
from holdfast.core.filed import all_rows
from holdfast.core.row_file import RowFile
from holdfast.learner import Learner
from holdfast.stream import Source, class_incremental
torch.set_num_threads(1)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 160 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
x = all_rows(RowFile(sys.argv[1], (3, 64, 64)))
y = torch.arange(len(x)) % 4
stream = class_incremental(Source("made", x, y, x[:400], y[:400], tuple("abcd")), 2)
stream.fingerprint()
rows = stream[1].train
Learner((3, 64, 64), width=4).normalise_by(rows.x)
seen = [len(rows[index].x) for index in torch.randperm(len(rows)).split(256)]
print(x.nbytes // 2**20, sum(seen))
try:
    x.dense()
except RuntimeError as error:
    print("cannot allocate" in str(error) or "memory" in str(error))
"""


def test_a_table_four_times_the_memory_limit_is_cut_hashed_normalised_and_read(tmp_path):
    count = 4 * 160 * 2**20 // (3 * 64 * 64)
    with (tmp_path / "rows").open("wb") as file:
        file.truncate(count * 3 * 64 * 64)
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "rows")]
    source = str(Path(holdfast.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["639", str(count // 2), "True"], done.stderr
