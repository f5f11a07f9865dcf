"""What a terminal gets, what a pipe gets, and what both get without rich."""

import io

import pytest

from asyncfan.demo import screen

_LINES = [[(" title", "title")], [(" a ", ""), ("━━", "run"), ("  ", "")]]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


class _Ascii(io.StringIO):
    encoding = "ascii"


@pytest.fixture(params=["rich", "plain"])
def with_or_without_rich(request, monkeypatch):
    """Run the test twice: as installed, and as if rich were not."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if request.param == "plain":
        monkeypatch.setattr(screen, "_rich", None)


@pytest.mark.usefixtures("with_or_without_rich")
def test_pipe_gets_plain_text():
    """A file or a pipe gets text without any control character, or spaces at the ends of lines."""
    stream = io.StringIO()
    screen.print_lines(_LINES, stream)
    assert stream.getvalue() == " title\n a ━━\n"


def test_terminal_gets_colours(monkeypatch):
    """With rich a terminal gets styles."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _Terminal()
    screen.print_lines(_LINES, stream)
    assert "\x1b[36m━━\x1b[0m" in stream.getvalue()


def test_no_color_is_respected(monkeypatch):
    """With NO_COLOR set no colour is sent to a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = _Terminal()
    screen.print_lines(_LINES, stream)
    assert "\x1b[3" not in stream.getvalue()


@pytest.mark.usefixtures("with_or_without_rich")
def test_progress_is_silent_in_a_pipe():
    """Where stderr is no terminal nothing is written."""
    stream = io.StringIO()
    with screen.progress(stream) as bar:
        bar.begin("sequential", 10)
        bar.tick()
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("with_or_without_rich")
def test_progress_shows_the_run_on_a_terminal():
    """A terminal sees the run's name and how far it is."""
    stream = _Terminal()
    with screen.progress(stream) as bar:
        bar.begin("sequential", 10)
        bar.tick()
    assert "sequential" in stream.getvalue()
    assert "/10" in stream.getvalue()


@pytest.mark.usefixtures("with_or_without_rich")
def test_bar_wipes_its_line():
    """The last thing that a bar writes clears what it drew."""
    stream = _Terminal()
    with screen.progress(stream) as bar:
        bar.begin("sequential", 10)
    assert stream.getvalue().endswith(("\r\x1b[K", "\x1b[1A\x1b[2K"))  # the plain one's; rich's


def test_plain_bar_fills_with_the_items(monkeypatch):
    """Half of the items are half of the bar."""
    monkeypatch.setattr(screen, "_rich", None)
    stream = _Terminal()
    with screen.progress(stream) as bar:
        bar.begin("sequential", 10)
        for _ in range(5):
            bar._next = 0.0
            bar.tick()
    last = stream.getvalue().split("\x1b[K")[-2]
    assert last.count("━") == last.count("·") == 20
    assert last.rstrip("\r").endswith(" 5/10")


def test_dumb_terminal_gets_no_bar(monkeypatch):
    """A terminal that cannot go back in a line gets none drawn."""
    monkeypatch.setenv("TERM", "dumb")
    stream = _Terminal()
    with screen.progress(stream) as bar:
        bar.begin("sequential", 10)
    assert stream.getvalue() == ""


def test_ascii_stream_gets_ascii_marks():
    """Marks that the stream cannot encode are replaced by plain ones."""
    marks = screen.marks_for(_Ascii())
    assert (marks.wait, marks.run, marks.rule) == (".", "=", "-")


def test_width_of_a_pipe_is_80(monkeypatch):
    """A file or a pipe has 80 columns, unless the user says otherwise."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert screen.width_of(io.StringIO()) == 80
    monkeypatch.setenv("COLUMNS", "100")
    assert screen.width_of(io.StringIO()) == 100
