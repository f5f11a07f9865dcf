"""Items in batches: `DataBatcher` cuts many items into batches."""

from .data_batcher import DataBatcher

__all__ = ["DataBatcher"]
