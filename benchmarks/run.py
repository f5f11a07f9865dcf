"""One measurement in this process, printed as JSON: ``python -m benchmarks.run WORKLOAD CONTESTANT SIZE``."""

import asyncio
import json
import sys

from .workload import NotOfferedError
from .workloads import WORKLOADS


def main(workload_name: str, contestant_name: str, size: int) -> None:
    """Measure, and print ``{"figures": {name: value}}`` or ``{"not_offered": "why"}``."""
    workload = WORKLOADS[workload_name]
    make = workload.contestants[contestant_name].make
    try:
        line: dict[str, object] = {"figures": asyncio.run(workload.measure(make, size))}
    except NotOfferedError as error:
        line = {"not_offered": str(error)}
    print(json.dumps(line))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
