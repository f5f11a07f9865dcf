"""The exceptions of asyncfan itself."""

import copy
import pickle

import pytest

from asyncfan import exceptions

MADE = [
    exceptions.AsyncfanError("why"),
    exceptions.AttemptTimeoutError("why"),
    exceptions.DeadlineExceededError("why", outcomes=[1]),
    exceptions.DependencyFailedError(("a", "b"), "error"),
    exceptions.LaggingConsumerError("f:1", 10),
    exceptions.MissingKeyError("load", 1),
    exceptions.RecursiveLoadError(("a", "a")),
    exceptions.UnkeyableArgumentError("f", "n", object),
    exceptions.UnstorableValueError(object),
]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_comes_whole_out_of_another_process(error, again):
    """A pool of processes that cannot read one breaks down, with all that it was about to do."""
    error.add_note("seen by a worker")
    found = again(error)
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
