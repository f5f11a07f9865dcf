"""asyncfan beside the naive way and its real peers: ``python -m benchmarks``.

workload.py    what a benchmark is: contestants, figures, bars
workloads/     one file a workload: what it does, who takes part
run.py         one measurement, in a process of its own
runner.py      all measurements, interleaved, each in a fresh process
result.py      bests, ratios and verdicts
plots/         the figures of the README, and what draws them: ``python -m benchmarks plots``
soak.py        a chaos run of the shared cache: ``python -m benchmarks soak --seconds N``
conformance.py framework by check, over the adapters' own suite: ``python -m benchmarks conformance``
controls.py    the same suite over what else caches responses: ``python -m benchmarks conformance --incumbents``
browser.py     what a real browser sees of a cached page: ``python -m benchmarks browser``
table.py       the results as text, Markdown and JSON
"""
