"""Items in batches (`data_batcher`, `chunks`), and a gate for queries (`query_batcher`, `flight`)."""

from .data_batcher import DataBatcher
from .query_batcher import AsyncQueryBatcher

__all__ = ["AsyncQueryBatcher", "DataBatcher"]
