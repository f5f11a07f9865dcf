"""Items in batches (`data_batcher`, cut by `chunks`), and queries in front of one backend (`query_batcher`, `flight`)."""

from .data_batcher import DataBatcher
from .query_batcher import AsyncQueryBatcher

__all__ = ["AsyncQueryBatcher", "DataBatcher"]
