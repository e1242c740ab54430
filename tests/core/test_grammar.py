"""The one grammar: how texts become settings, and what is said of those that cannot."""

from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import arguments, coerce, fitted, head, listed, pieces


def part(
    on: Literal["features", "embedding"] = "features",
    tau: float = 1.0,
    count: int = 3,
    flip: bool = True,
    alpha: str = "linear",
    cut: tuple[int, ...] = (),
    rate: float | None = None,
): ...


@pytest.mark.parametrize(
    "text, values",
    [
        ("", {}),
        ("embedding", {"on": "embedding"}),
        ("embedding:0.5", {"on": "embedding", "tau": 0.5}),
        ("tau=2:count=7", {"tau": 2.0, "count": 7}),
        ("tau=2,count=7", {"tau": 2.0, "count": 7}),
        ("flip=no:rate=none", {"flip": False, "rate": None}),
        ("alpha=delayed:8,20:tau=2", {"alpha": "delayed:8,20", "tau": 2.0}),
        ("alpha=delayed:8,20,tau=2", {"alpha": "delayed:8,20", "tau": 2.0}),
        ("alpha=(delayed:e0=8)", {"alpha": "delayed:e0=8"}),
        ("cut=4,2,2", {"cut": (4, 2, 2)}),
        ("rate=0.25", {"rate": 0.25}),
    ],
)
def test_a_text_gives_the_settings_it_says(text, values):
    assert arguments(part, text, "part") == values
    assert arguments(partial(part, tau=9.0), text, "part") == values


@pytest.mark.parametrize(
    "text, words",
    [
        ("tua=1", "unknown parameter of the part 'tua': did you mean 'tau'"),
        ("tau=x", "part: tau cannot be 'x': it must be a number"),
        ("tau=nan", "tau cannot be 'nan'"),
        ("count=1.5", "count cannot be '1.5': it must be a whole number"),
        ("flip=maybe", "flip cannot be 'maybe': it must be yes or no"),
        ("embeding", "'embeding': did you mean 'embedding'"),
        ("tau=1:tau=2", "tau twice"),
        ("rate=x", "rate cannot be 'x': it must be a number or none"),
        ("alpha=(a:b", "parentheses"),
        ("a:1:2:yes:b:(4):0.5:more", "'more' is one setting too many"),
    ],
)
def test_a_text_that_cannot_be_read_is_one_sentence(text, words):
    with pytest.raises(ConfigError) as error:
        arguments(part, text, "part")
    assert words in str(error.value) and str(error.value).endswith(".")


def test_a_part_without_parameters_takes_none():
    with pytest.raises(ConfigError, match="takes no settings: 'x'"):
        arguments(lambda: 0, "x", "part")
    with pytest.raises(ConfigError, match="has no parameters"):
        arguments(lambda: 0, "x=1", "part")


def test_what_no_text_can_set_is_skipped():
    assert arguments(part, "0.5", "part", skip=("on",)) == {"tau": 0.5}
    with pytest.raises(ConfigError, match="unknown parameter"):
        arguments(part, "on=embedding", "part", skip=("on",))


def test_texts_are_cut_outside_parentheses():
    assert pieces("a:(b:c),d") == [("", "a"), (":", "(b:c)"), (",", "d")]
    assert listed("mean, gaussian:embedding ,,fecam:(x,y)") == [
        "mean", "gaussian:embedding", "fecam:(x,y)"
    ]  # fmt: skip
    assert head("(a:b):c") == ("(a:b)", "c")


def test_values_of_programs_are_checked_by_the_same_types():
    assert fitted("0.5", float, "tau") == 0.5 and fitted(2, float, "tau") == 2
    assert fitted(None, float | None, "tau") is None and fitted("x", str, "name") == "x"
    for value, hint in ((None, float), ("x", float), (True, float), (1.5, int), (1, bool)):
        with pytest.raises(ConfigError, match="cannot be"):
            fitted(value, hint, "tau")


def test_other_types():
    assert coerce("a/b", Path, "x") == Path("a/b")
    assert coerce("2,0.5", tuple[int, float], "x") == (2, 0.5)
    with pytest.raises(ConfigError, match="takes 2 values"):
        coerce("2", tuple[int, float], "x")
