"""The demo: the two use cases of the documentation on a real SQLite database, measured four ways.

command.py     from options to a report and an exit code
options.py     what can be said on the command line
keys.py        "1-500", "1,5,9", "a,b,c"
sample.py      the database that is built when the user has none
database.py    blocking sqlite3 off the loop: one read-only connection a thread, every query counted
use_cases.py   many records by key in batches; the dashboard: what a user of asyncfan would write
measure.py     the four runs of a use case, and whether they agree
waterfall.py   who waited and who ran in one fan-out, on a common time axis
report.py      figures as rows of text, and as JSON
screen.py      where text goes, plain where rich is not installed; the progress bar
with_rich.py   the same through rich
"""
