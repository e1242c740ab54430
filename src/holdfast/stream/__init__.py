"""Where tasks come from: sources, cuts, rows and views."""

from holdfast.core.numerics import to_float
from holdfast.core.rows import Rows, cat
from holdfast.stream.augment import Augment, views
from holdfast.stream.catalogue import SOURCES, from_path, load, open_source, peek_shape, register
from holdfast.stream.corruptions import CORRUPTIONS, corrupted
from holdfast.stream.domain_tasks import make_domains
from holdfast.stream.domains import Domains
from holdfast.stream.folder import read_folder, read_images
from holdfast.stream.labelled import list_labelled, read_labelled
from holdfast.stream.labels import Label
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.stream.pixel_store import PixelStore
from holdfast.stream.sets import VIEWS, suited, views_named
from holdfast.stream.source import Source, digits, from_arrays, limit, validation
from holdfast.stream.split import (
    class_incremental,
    domain_incremental,
    instance_incremental,
    make_stream,
)
from holdfast.stream.task import Stream, Task, make_task

__all__ = [
    "CORRUPTIONS",
    "SOURCES",
    "VIEWS",
    "Augment",
    "Domains",
    "Label",
    "LabelledImages",
    "Listed",
    "PixelStore",
    "Rows",
    "Source",
    "Stream",
    "Task",
    "cat",
    "class_incremental",
    "corrupted",
    "digits",
    "domain_incremental",
    "from_arrays",
    "from_path",
    "instance_incremental",
    "limit",
    "list_labelled",
    "load",
    "make_domains",
    "make_stream",
    "make_task",
    "open_source",
    "peek_shape",
    "read_folder",
    "read_images",
    "read_labelled",
    "register",
    "suited",
    "to_float",
    "validation",
    "views",
    "views_named",
]
