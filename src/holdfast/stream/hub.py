"""Datasets of the Hugging Face hub, or of its local cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.core.errors import DataError
from holdfast.stream.columns import Columns
from holdfast.stream.image_files import TEST, TRAIN
from holdfast.stream.pictures import Pictures
from holdfast.stream.tables import AT_ONCE, Sides, from_columns
from holdfast.stream.walk import readable

NAMES = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
}
SECONDS = 5  # to wait for the hub before working offline


def read_hub(repo: str) -> Sides:
    """The train and the test images of a Hugging Face dataset, from the hub or its local cache.

    Raises:
        DataError: if the hub cannot be reached, or has no such dataset of labelled images.
    """
    return _sides(open_hub(repo), repo)


def open_hub(repo: str) -> Mapping[str, Any]:
    """The splits of a Hugging Face dataset, from the hub or its local cache.

    Raises:
        DataError: if the hub cannot be reached, or has no such dataset.
    """
    import datasets  # costs a second, which only those who read files should pay

    with _offline_unless_reachable() as reachable:
        try:
            splits: Any = datasets.load_dataset(repo)
        except Exception as error:  # what a failed download raises depends on the network library
            reason = " ".join(str(error).split()).rstrip(".")
            if reachable and not isinstance(error, ConnectionError):
                message = f"'{repo}' cannot be loaded from the Hugging Face hub ({reason})"
            else:
                message = f"the Hugging Face hub cannot be reached for '{repo}' ({reason})"
            local = "give local parquet files or a folder of images with --data PATH"
            raise DataError(f"{message}: {local}.") from error
    return splits


def is_saved(root: Path) -> bool:
    """Whether a folder is one that ``save_to_disk`` of ``datasets`` wrote."""
    one = (root / "state.json").is_file() and (root / "dataset_info.json").is_file()
    return one or (root / "dataset_dict.json").is_file()


def open_saved(root: Path) -> dict[str, Any]:
    """The splits of a data set that ``save_to_disk`` wrote; one without splits is train.

    Raises:
        DataError: if it cannot be read.
    """
    import datasets

    try:
        stored: Any = datasets.load_from_disk(root)
    except Exception as error:  # what a damaged folder raises depends on the file
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{readable(root)} cannot be read as a saved data set ({reason})."
        ) from None
    return dict(stored) if isinstance(stored, dict) else {"train": stored}


def choose_split(splits: Mapping[str, Any], part: str, where: str) -> str:
    """The split of a part: train, or the first of test, val, ... there is.

    Raises:
        DataError: if there is no train split.
    """
    names = TRAIN if part == "train" else (*TEST, *TRAIN)
    chosen = [name for name in names if name in splits]
    if not chosen:
        raise DataError(f"'{where}' has no train split: its splits are {', '.join(splits)}.")
    return chosen[0]


def _sides(splits: Mapping[str, Any], where: str) -> Sides:
    """The train and the test images of a data set with splits."""
    train = choose_split(splits, "train", where)
    test = next((side for side in TEST if side in splits), None)
    tables = [None if s is None else table_of(splits[s], f"{where} {s}") for s in (train, test)]
    assert tables[0] is not None
    return tables[0], tables[1]


@contextmanager
def _offline_unless_reachable() -> Iterator[bool]:
    """Spare those without a network the retries: they are left with what is cached."""
    from datasets import config
    from huggingface_hub import constants

    reachable = _reachable(constants.ENDPOINT)
    switches: tuple[Any, Any] = constants, config
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch, offline in zip(switches, before):
            switch.HF_HUB_OFFLINE = offline or not reachable
        yield reachable
    finally:
        for switch, offline in zip(switches, before):
            switch.HF_HUB_OFFLINE = offline


def _reachable(endpoint: str) -> bool:
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=SECONDS)
    except Exception:  # offline mode, no name, no route, no answer: depends on the network library
        return False
    return True


def table_of(table: Any, where: str, asked: Columns = Columns(), labelled: bool = True) -> Pictures:
    """The images of one split of a ``datasets.DatasetDict``.

    Args:
        table: the split.
        where: what to call it in an error.
        asked: columns that were named.
        labelled: whether it needs a column of labels.

    Raises:
        DataError: if it has no column of images or none of labels.
    """

    def columns(name: str) -> Iterator[Any]:
        pieces = table.select_columns([name]).with_format("arrow").iter(batch_size=AT_ONCE)
        return (piece.column(name) for piece in pieces)

    return from_columns(table.features, columns, where, Path(), asked, labelled)
