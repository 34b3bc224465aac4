"""Progress: what is told while pictures are coded and decoded, and what a terminal shows of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import FILES, binary_digits, grey_digits, grey_noise, numbered, paper_models

from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.read import ArchiveReader
from bbcompress.cli.progress_line import ProgressLine
from bbcompress.images import Picture
from bbcompress.progress import Progress


class Recorded(Progress):
    """Keeps what is done each time that it is more."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def show(self) -> None:
        self.seen.append(self.done)


def assert_steady(progress: Recorded, pixels: int, steps: int) -> None:
    assert progress.done == pixels
    assert progress.seen == sorted(progress.seen)
    assert len({done for done in progress.seen if done < pixels}) >= steps


@pytest.mark.parametrize("options", [{}, {"effort": 1}, {"check": False}, {"refine_steps": 1}], ids=str)
def test_an_archive_is_followed_while_it_is_coded_and_checked(options: dict[str, object]) -> None:
    pictures: dict[str, Picture] = numbered([*binary_digits(10), grey_noise(0), *grey_digits(6)])
    progress = Recorded()
    data, _ = compress_archive(pictures.items(), paper_models(), Options(progress=progress, **options))  # type: ignore[arg-type]
    assert_steady(progress, 17 * 784, steps=5)
    progress = Recorded()
    list(ArchiveReader(data).decode(paper_models(), progress=progress))
    assert progress.total == progress.done
    assert_steady(progress, int(progress.total), steps=5)


def test_a_single_picture_is_followed() -> None:
    progress = Recorded()
    compress_single(binary_digits(1)[0], paper_models(), Options(progress=progress))
    assert progress.total == 784
    assert_steady(progress, 784, steps=1)


def test_rate_and_time_left_are_those_of_coding() -> None:
    lines: list[str] = []
    now = 0.0
    line = ProgressLine(lines.append, lambda: now)
    line.total = 4_000_000
    now = 100  # reading and choosing
    line.begin(4_000_000, passes=2)
    for seconds in (110, 110.1, 120):
        now = seconds
        line.advance(1_000_000)
    assert lines == [
        "\r 12% of 4 Mpx, 50 kpx/s, 1:10 left",
        "\r 38% of 4 Mpx, 75 kpx/s, 0:33 left",
    ]
    line.clear()
    assert lines[-1].strip() == ""
    line.clear()
    assert len(lines) == 3


def test_it_is_shown_on_terminals_only(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    import os

    script = (
        "from bbcompress.cli import main, progress_line; progress_line._SECONDS_BETWEEN = -1; main(prog_name='bbc')"
    )
    for quiet in ([], ["-q"]):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", script, "test", str(FILES / "good-archive.bb"), *quiet]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        os.write(theirs, b"end")
        shown = b""
        while not shown.endswith(b"end"):
            shown += os.read(ours, 10_000)
        os.close(ours)
        os.close(theirs)
        if quiet:
            assert shown == b"end"
        else:
            assert b"100% of" in shown
            assert shown.split(b"\r")[-2].strip() == b"" and shown.endswith(b"\rend")  # it is cleared
    done = subprocess.run([sys.executable, "-c", script, "test", str(FILES / "good-archive.bb")], capture_output=True)
    assert done.stderr == b""
