"""A grid and a tuning whose images do not fit into memory: decoded once, beside the runs, same figures."""

import pytest

from holdfast.compare import work
from holdfast.compare.arrival import Data
from holdfast.compare.plan import Grid
from holdfast.compare.sweep import run_grid
from holdfast.compare.tuning import Tuning
from holdfast.core import filed
from holdfast.core.errors import ConfigError
from holdfast.core.filed import FiledTensor
from holdfast.stream import PixelStore, pixel_store
from pictures import write_pictures

QUICK = {"epochs": ["1"], "batch": ["8"], "width": ["4"]}


@pytest.fixture
def zoo(tmp_path):
    return write_pictures(tmp_path / "zoo")


@pytest.fixture
def short(monkeypatch):
    """No image fits into memory."""
    monkeypatch.setattr(filed, "LAZY", 500)
    monkeypatch.setattr(PixelStore, "wants", lambda store, size: True)


def test_a_grid_decodes_once_beside_its_runs(zoo, tmp_path, request, monkeypatch):
    grid = Grid(["finetune"], [f"zoo={zoo}"], seeds=2, settings=QUICK, preset="quick", tasks=2)
    plain = run_grid(grid, tmp_path / "a", 1)
    assert not plain.failed and not (tmp_path / "a" / "pixels").exists()
    request.getfixturevalue("short")
    work._source.cache_clear()
    calls, decode, kept = [], pixel_store.decoded, []
    monkeypatch.setattr(pixel_store, "decoded", lambda *a: calls.append(a) or decode(*a))
    prepared = work.prepared

    def noted(*arguments, **options):
        run = prepared(*arguments, **options)
        kept.append(isinstance(run.stream[0].train.x, FiledTensor))
        return run

    monkeypatch.setattr(work, "prepared", noted)
    filed_runs = run_grid(grid, tmp_path / "b", 1)
    work._source.cache_clear()
    assert kept == [True, True]
    assert len(calls) == 20 + 20  # the look at sizes and the plan decoded; the runs read
    assert len(list((tmp_path / "b" / "pixels").glob("*.pixels"))) >= 1
    figures = [{n: o.figure for n, o in s.outcomes.items()} for s in (plain, filed_runs)]
    assert figures[0] == figures[1] and len(figures[0]) == 2 and None not in figures[0].values()


def test_tuning_sees_the_same_tasks_from_the_disk(zoo, tmp_path, request):
    tuning = Tuning("lwf", Data("zoo", str(zoo), tasks=2), "quick", first=1)
    plain, _ = tuning.prepared()
    request.getfixturevalue("short")
    stream, _ = tuning.prepared(PixelStore(tmp_path / "pixels"))
    assert isinstance(stream[0].train.x, FiledTensor)
    assert stream.fingerprint() == plain.fingerprint()


def test_images_are_scaled_as_one_asks(zoo, tmp_path):
    """The preset goes by the size that is asked for, and runs of two sizes are two runs."""
    small, large = (
        Grid(["finetune"], [f"zoo={zoo}"], settings=QUICK, tasks=2, size=side) for side in (8, 24)
    )
    (one,), (other,) = small.jobs(), large.jobs()
    assert one.key != other.key
    assert (one.preset, other.preset) == ("quick", "desk")
    assert work.prepared(one).stream.shape == (3, 8, 8)
    assert work.prepared(other).stream.shape == (3, 24, 24)
    tuning = Tuning("lwf", Data("zoo", str(zoo), tasks=2, size=8), "quick", first=1)
    assert tuning.prepared()[0].shape == (3, 8, 8)
    with pytest.raises(ConfigError, match="at least 1"):
        Grid(["finetune"], [f"zoo={zoo}"], size=-3).jobs()
    with pytest.raises(ConfigError, match="leave --size out"):
        Grid(["finetune"], size=8).jobs()
