"""Where tasks come from: sources, cuts, rows and views."""

from holdfast.stream.arrival import Label, arrival
from holdfast.stream.augment import Augment, to_float, views
from holdfast.stream.rows import Rows, cat
from holdfast.stream.sets import AUGMENTS, suited, views_named
from holdfast.stream.source import (
    Source,
    digits,
    from_arrays,
    from_path,
    limit,
    load,
    source,
    validation,
)
from holdfast.stream.split import (
    class_incremental,
    domain_incremental,
    instance_incremental,
    make_stream,
)
from holdfast.stream.task import Stream, Task

__all__ = [
    "AUGMENTS",
    "Augment",
    "Label",
    "Rows",
    "Source",
    "Stream",
    "Task",
    "arrival",
    "cat",
    "class_incremental",
    "digits",
    "domain_incremental",
    "from_arrays",
    "from_path",
    "instance_incremental",
    "limit",
    "load",
    "make_stream",
    "source",
    "suited",
    "to_float",
    "validation",
    "views",
    "views_named",
]
