"""What is kept on disk."""

from holdfast.store.folder import RunFolder, fresh, whole

__all__ = ["RunFolder", "fresh", "whole"]
