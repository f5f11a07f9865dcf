"""The parallel half of asyncfan under one name: run calls at once, in batches, and queries within limits."""

from .batching import AsyncQueryBatcher, DataBatcher
from .fanout import ParallelProcessor

__all__ = ["AsyncQueryBatcher", "DataBatcher", "ParallelProcessor"]
