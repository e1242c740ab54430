"""What is shown: progress while a run goes on, then tables and pictures of its result."""

from holdfast.report.grid import matrix_picture, retention_picture
from holdfast.report.progress import Watch, progress_mode
from holdfast.report.table import summary

__all__ = ["Watch", "matrix_picture", "progress_mode", "retention_picture", "summary"]
