"""Files and folders as a user has them: links, permissions, times, awkward names, faults while they are written."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import FILES, archive_of, read, rgb, write

from bbcompress.archive.read import ArchiveReader
from bbcompress.cli import main
from bbcompress.cli.target_names import possible_names
from bbcompress.images import Picture
from bbcompress.images.place import Attributes, move, place

NOBODY = 65534
posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX systems")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sixteen(seed=0):
    """A picture that no model codes, so that tests are quick."""
    return Picture("L16", np.random.default_rng(seed).integers(0, 1 << 16, (2, 3), np.uint16))


def bbc(*arguments, code=0, input=None):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def command(*arguments):
    return [sys.executable, "-c", "from bbcompress.cli import main; main(prog_name='bbc')", *map(str, arguments)]


def process(*arguments, **options):
    return subprocess.run(command(*arguments), stderr=subprocess.PIPE, text=True, **options)


def names_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def permissions(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def assert_one_line(done, code):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def source(here):
    """Folder `in` with files, folders in it, and one with nothing."""
    for number, name in enumerate(["b.png", "a/x.png", "a/deep/y.png", ".hidden.png"]):
        (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        write(sixteen(number), here / "in" / name)
    (here / "in" / "empty" / "inner").mkdir(parents=True)
    return here / "in"


# --- folders ------------------------------------------------------------------------------------


@posix
def test_modes_times_and_empty_folders_come_back(source, here):
    for number, path in enumerate(sorted(source.rglob("*"), key=lambda path: -len(path.parts))):
        path.chmod([0o600, 0o640, 0o444][number % 3] if path.is_file() else [0o700, 0o755][number % 2])
        os.utime(path, ns=(0, 10**18 + 123456789 * number))
    source.chmod(0o750)
    os.utime(source, ns=(0, 17))
    bbc("compress", "in", "-o", "x.bb", "-q")
    # into a folder that is new, and into one that is there
    (here / "there").mkdir()
    for target in ("new", "there"):
        bbc("decompress", "x.bb", "-o", target, "-q")
        assert names_below(here / target) == names_below(source)
        for path in source.rglob("*"):
            back = here / target / path.relative_to(source)
            assert permissions(back) == permissions(path), path
            assert back.stat().st_mtime_ns == path.stat().st_mtime_ns, path
    assert permissions(here / "new") == 0o750
    assert (here / "new").stat().st_mtime_ns == 17


@posix
def test_no_times(source, here):
    os.utime(source / "b.png", ns=(0, 99))
    source.joinpath("b.png").chmod(0o640)
    bbc("compress", "in", "-o", "x.bb", "-q")
    bbc("decompress", "x.bb", "-o", "back", "--no-times", "-q")
    assert (here / "back" / "b.png").stat().st_mtime > 10**9
    assert permissions(here / "back" / "b.png") == 0o640
    bbc("compress", "in", "-o", "y.bb", "-q", "--no-times")
    os.utime(source / "b.png", ns=(0, 98))
    bbc("compress", "in", "-o", "z.bb", "-q", "--no-times")
    assert (here / "y.bb").read_bytes() == (here / "z.bb").read_bytes()
    assert ArchiveReader((here / "y.bb").read_bytes()).tree.files[1] == Attributes(0o640, None)


@posix
@pytest.mark.parametrize(
    ("file", "folder", "inner", "expected"),
    [
        (0o644, 0o755, 0o755, 0o644),
        (0o600, 0o755, 0o755, 0o600),
        (0o640, 0o755, 0o755, 0o640),
        (0o644, 0o700, 0o755, 0o600),  # nobody else gets into the folder
        (0o644, 0o755, 0o750, 0o640),
        (0o666, 0o777, 0o777, 0o644),  # the umask
    ],
)
def test_who_may_not_read_the_sources_may_not_read_the_archive(source, here, file, folder, inner, expected):
    for path in source.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    source.chmod(folder)
    (source / "a").chmod(inner)
    (source / "b.png").chmod(file)
    bbc("compress", "in", "-o", "x.bb", "-q")
    assert permissions(here / "x.bb") == expected


@posix
def test_a_single_file_gives_its_mode_and_time(here):
    write(sixteen(), here / "a.png")
    (here / "a.png").chmod(0o600)
    os.utime(here / "a.png", ns=(0, 10**18 + 1))
    bbc("compress", "a.png", "-q")
    for path in ("a.bb", "back.png"):
        assert permissions(path) == 0o600
        assert os.stat(path).st_mtime_ns == 10**18 + 1
        bbc("decompress", "a.bb", "-o", "back.png", "-f", "-q")
    bbc("decompress", "a.bb", "-o", "later.png", "--no-times", "-q")
    assert permissions("later.png") == 0o600
    assert os.stat("later.png").st_mtime_ns > 10**18 + 1


@posix
def test_links_and_what_is_no_file_are_named(source, here):
    write(sixteen(9), here / "outside.png")
    (source / "to-file.png").symlink_to(here / "outside.png")
    (source / "to-nothing.png").symlink_to("nowhere")
    (source / "to-itself").symlink_to("to-itself")
    (source / "to-folder").symlink_to("a")
    os.mkfifo(source / "fifo.png")
    done = bbc("compress", "in", "-o", "x.bb", "-q")
    lines = done.stderr.splitlines()
    assert [line.split(":")[:3] for line in lines] == [
        ["bbc", " warning", f" in/{name}"] for name in ("fifo.png", "to-folder", "to-itself", "to-nothing.png")
    ]
    bbc("decompress", "x.bb", "-o", "back", "-q")
    assert read("back/to-file.png").same_as(sixteen(9))
    assert not (here / "back" / "to-file.png").is_symlink()
    assert not (here / "back" / "to-folder").exists()


@posix
@pytest.mark.parametrize("what", ["a", "a/deep", "b.png", "a/deep/y.png"])
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_what_cannot_be_read_is_an_error_with_its_name(source, here, what, mode):
    (source / what).chmod(mode if (source / what).is_dir() else 0)
    here.chmod(0o777)
    # as nobody, but only once all modules are read, which may be private to root
    script = (
        "import os\nfrom bbcompress.cli import errors, inputs, main\n"
        "errors.explained(ValueError())\nreal = inputs.walk\n"
        "def walk(top, globs):\n"
        f"    os.getuid() or (os.setgid({NOBODY}), os.setuid({NOBODY}))\n"
        "    return real(top, globs)\n"
        "inputs.walk = walk\nmain(['compress', 'in', '-o', 'x.bb'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    (source / what).chmod(0o755)
    assert_one_line(done, 1)
    assert f"in/{what}" in done.stderr
    assert not (here / "x.bb").exists()


def test_a_folder_of_empty_folders_is_kept_and_one_of_nothing_is_refused(here):
    (here / "in" / "a" / "b").mkdir(parents=True)
    bbc("compress", "in", "-o", "x.bb", "-q")
    bbc("decompress", "x.bb", "-o", "back", "-q")
    assert names_below(here / "back") == ["a", "a/b"]
    assert "a/b" in bbc("compress", "in/a/b", "-o", "y.bb", code=1).stderr


@pytest.fixture
def deep_here(here):
    """A folder for what is too deep for pytest to remove."""
    yield here
    subprocess.run(["rm", "-rf", here / "in", here / "back", *here.glob(".bbc-*")], check=True)


@posix
def test_a_thousand_levels_there_and_back(deep_here):
    """Deeper than Python may call itself, and with a path longer than systems take."""
    here, levels = deep_here, 1200
    folder = os.open(here, os.O_RDONLY)
    os.mkdir("in", dir_fd=folder)
    for name in ["in", *["deep"] * levels]:
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
        os.mkdir("deep", dir_fd=folder)
    write(sixteen(), here / "a.png")
    os.link(here / "a.png", "a.png", dst_dir_fd=folder)
    os.close(folder)
    bbc("compress", "in", "-o", "x.bb", "-q")
    bbc("decompress", "x.bb", "-o", "back", "-q")
    folder = os.open(here / "back", os.O_RDONLY)
    for _ in range(levels):
        inner = os.open("deep", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    with open(os.open("a.png", os.O_RDONLY, dir_fd=folder), "rb") as file:
        assert file.read() == (here / "a.png").read_bytes()
    os.close(folder)
    # what fails with half of it written leaves nothing
    assert "back" in bbc("decompress", "x.bb", "-o", "back", code=1).stderr
    assert [name for name in os.listdir(here) if name.startswith(".")] == []


# --- names --------------------------------------------------------------------------------------

AWKWARD = [
    "CON.png",
    "a\u061cb.png",
    "a\u200bb.png",
    "\U000e0041.png",
    "right\u202eto-left.png",
    "esc\x1b[2J.png",
    "new\nline.png",
    "scan 12:30.png",
    "back\\slash.png",
    "dot..png",
    "A.png",
    "a.png",
    os.fsdecode(b"latin-\xff.png"),
]


@posix
def test_awkward_names_come_back_and_are_never_printed_raw(here):
    (here / "in").mkdir()
    for number, name in enumerate(AWKWARD):
        write(sixteen(number), here / "in" / name)
    bbc("compress", "in", "-o", "x.bb", "-q")
    assert bbc("decompress", "x.bb", "-o", "back").stderr == f"back: {len(AWKWARD)} images\n"
    assert sorted(os.listdir("back")) == sorted(AWKWARD)
    assert all(read(here / "back" / name).same_as(sixteen(number)) for number, name in enumerate(AWKWARD))
    for name in AWKWARD:
        line = bbc("decompress", "x.bb", "-o", f"back/{name}/x.png", code=1).stderr
        assert line.endswith("\n") and line[:-1].isprintable()


def long_names():
    return {
        "n" * 251 + ".png": rgb(1, 1, 1),  # fits
        "n" * 300 + ".png": rgb(1, 1, 2),
        "n" * 299 + "m.png": rgb(1, 1, 3),
        "\u20ac" * 4000 + ".png": rgb(1, 1, 4),
        "d" * 300 + "/x.png": rgb(1, 1, 5),
        "d" * 300 + "/y.png": rgb(1, 1, 6),
        "good.png": rgb(1, 1, 7),
    }


def test_names_that_are_too_long_are_shortened_and_told(here):
    pictures = long_names()
    (here / "x.bb").write_bytes(archive_of(pictures))
    done = bbc("decompress", "x.bb", "-o", "back")
    assert len(done.stderr.splitlines()) == 4 + 1  # a folder's name is told once
    files = [path for path in (here / "back").rglob("*") if path.is_file()]
    assert len(files) == len(pictures)
    assert all(len(os.fsencode(part)) <= 255 for path in files for part in path.parts)
    assert {read(path).pixels.tobytes() for path in files} == {one.pixels.tobytes() for one in pictures.values()}
    assert (here / "back" / "good.png").is_file()
    for path in files:
        if path.name not in ("n" * 251 + ".png", "good.png", "x.png", "y.png"):
            assert path.name in done.stderr
    # the same names again: they are the same
    bbc("decompress", "x.bb", "-o", "again", "-q")
    assert names_below(here / "again") == names_below(here / "back")


def test_names_that_a_file_system_takes_for_one(here, monkeypatch):
    """A target without case: the second file finds the first."""
    from bbcompress.cli.directory import Directory

    real = Directory.write

    def write_folded(self, name, data, attributes):
        real(self, name.lower(), data, attributes)

    monkeypatch.setattr(Directory, "write", write_folded)
    monkeypatch.setattr("bbcompress.cli.output_folder.OutputFolder._rename_new", lambda self: None)
    (here / "x.bb").write_bytes(archive_of({"A.png": rgb(1, 1, 1), "a.png": rgb(1, 1, 2)}))
    from bbcompress.cli.output_folder import OutputFolder

    with OutputFolder(here / "out", overwrite=False) as target:
        target.write("A.png", b"first", Attributes())
        target.write("a.png", b"second", Attributes())
        assert [name for name, _ in target.renamed] == ["a.png"]
        hidden = next(here.glob(".bbc-*"))
        assert sorted(path.read_bytes() for path in hidden.iterdir()) == [b"first", b"second"]


@pytest.mark.parametrize(
    "name", ["CON", "con.png", "nul", "com1.tif", "LPT9", "aux .x", "a:b", "a\\b", 'a"b', "a?", "end.", "end ", "x\x1f"]
)
def test_what_windows_cannot_have_gets_another_name(name):
    instead = list(possible_names(name, name, windows=True))
    assert name not in instead
    assert next(iter(possible_names(name, name, windows=False))) == name
    for one in instead:
        assert one.isprintable() and not set('<>:"/\\|?*') & set(one) and one[-1] not in ". "
        assert one.split(".")[0].lower() not in ("con", "nul", "com1", "lpt9", "aux")
        assert len(one.encode()) <= 255
    assert set(instead).isdisjoint(possible_names(name, name.upper() + "x", windows=True))


def test_what_windows_can_have_stays():
    for name in ("a.png", "conference.png", "Übung 1.tif", ".hidden", "com10"):
        assert next(iter(possible_names(name, name, windows=True))) == name


# --- where output goes --------------------------------------------------------------------------


@posix
def test_streams_are_written_into_and_never_replaced(here):
    os.mkfifo(here / "fifo")
    taken = []
    reader = threading.Thread(target=lambda: taken.append((here / "fifo").read_bytes()))
    reader.start()
    bbc("compress", FILES / "digit.png", "-o", "fifo", "-f", "-q")
    reader.join()
    assert stat.S_ISFIFO(os.lstat("fifo").st_mode)
    (here / "x.bb").write_bytes(taken[0])
    assert bbc("test", "x.bb")
    bbc("compress", FILES / "digit.png", "-o", "/dev/null", "-q")
    bbc("decompress", "x.bb", "-o", "/dev/null", "-f", "-q")
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)


@posix
def test_a_socket_and_a_link_are_refused(here):
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert "socket" in bbc("compress", FILES / "digit.png", "-o", "socket", "-f", code=1).stderr
        assert stat.S_ISSOCK(os.lstat("socket").st_mode)
    (here / "target").write_text("precious")
    (here / "link").symlink_to("target")
    for arguments in (["compress", FILES / "digit.png"], ["decompress", FILES / "good-single-grey.bb"]):
        assert "link" in bbc(*arguments, "-o", "link", "-f", code=1).stderr
    assert (here / "target").read_text() == "precious"


@posix
def test_nothing_is_written_through_links_in_the_target(source, here):
    bbc("compress", "in", "-o", "x.bb", "-q")
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "x.png").write_text("precious")
    (here / "back").mkdir()
    (here / "back" / "a").symlink_to(here / "elsewhere")
    for force in ([], ["-f"]):
        assert "back/a" in bbc("decompress", "x.bb", "-o", "back", *force, code=1).stderr
    (here / "back" / "a").unlink()
    (here / "back" / "b.png").symlink_to(here / "elsewhere" / "x.png")
    for force in ([], ["-f"]):
        assert "back/b.png" in bbc("decompress", "x.bb", "-o", "back", *force, code=1).stderr
    assert names_below(here / "elsewhere") == ["x.png"]
    assert (here / "elsewhere" / "x.png").read_text() == "precious"
    assert names_below(here / "back") == ["b.png"]
    (here / "linked").symlink_to(here / "elsewhere")  # but the folder itself may be named by a link
    bbc("decompress", "x.bb", "-o", "linked", "-q")
    assert (here / "elsewhere" / "b.png").is_file()


@pytest.mark.parametrize("output", ["", ".", "nowhere/x.bb", "there"])
def test_wrong_outputs_are_refused_before_the_work(here, monkeypatch, output):
    (here / "there").mkdir()
    monkeypatch.setattr("bbcompress.cli.reading.read", None)  # nothing is read
    done = bbc("compress", FILES / "digit.png", "-o", output, "-f", code=2 if output == "" else 1)
    assert "Traceback" not in done.stderr
    bbc("compress", "", "-o", "x.bb", code=2)
    bbc("decompress", FILES / "good-single-grey.bb", "-o", "", code=2)
    bbc("decompress", "", code=2)
    assert names_below(here) == ["there"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_runs_at_once_one_succeeds(here, monkeypatch, links):
    """Both have seen that there is no file when they come to write it."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    ready, outcomes = threading.Barrier(2), []

    def run(data):
        (here / f"temporary-{data[0]}").write_bytes(data)
        ready.wait()
        try:
            move(f"temporary-{data[0]}", "x.bb", overwrite=False)
            outcomes.append(data)
        except FileExistsError:
            outcomes.append(None)

    threads = [threading.Thread(target=run, args=(data,)) for data in (b"1" * 1000, b"2" * 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 1
    assert (here / "x.bb").read_bytes() in outcomes


def test_a_folder_that_comes_to_be_meanwhile_is_not_replaced(here):
    from bbcompress.cli.output_folder import OutputFolder
    from bbcompress.images.errors import OutputExists

    target = OutputFolder(here / "out", overwrite=True)
    with target:
        target.write("a", b"mine", Attributes())
        (here / "out").mkdir()
        (here / "out" / "a").write_text("precious")
        with pytest.raises(OutputExists):
            target.finish({})
    assert (here / "out" / "a").read_text() == "precious"
    target = OutputFolder(here / "out", overwrite=False)
    with target:
        for name in "bcd":
            target.write(name, b"mine", Attributes())
        (here / "out" / "c").write_text("precious")
        with pytest.raises(OutputExists):
            target.finish({})
    assert names_below(here) == ["out", "out/a", "out/c"]


# --- faults -------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("direction", ["compress", "decompress"])
def test_signals_clean_up(source, here, number, direction):
    bbc("compress", "in", "-o", "x.bb", "-q")
    before = names_below(here)
    # the last step waits, so that the signal comes while there is something to clean up
    script = (
        "import time, sys\nfrom bbcompress.images import place\nfrom bbcompress.cli import output_folder\n"
        "def wait(*_, **__):\n    print('now', flush=True); time.sleep(60)\n"
        "place.move = wait; output_folder.OutputFolder._rename_new = wait\n"
        "from bbcompress.cli import main; main(sys.argv[1:])"
    )
    arguments = {"compress": ["compress", "in", "-o", "y.bb"], "decompress": ["decompress", "x.bb", "-o", "new/back"]}
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments[direction]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout.readline() == "now\n"
        assert len(names_below(here)) > len(before)
        running.send_signal(number)
        running.wait(30)
        assert running.returncode == 128 + number
        assert running.stderr.read() == f"bbc: stopped by {number.name}\n"
    assert names_below(here) == before


def killed_at(arguments, seconds):
    with subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL) as running:
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            running.kill()


@posix
def test_what_is_killed_leaves_the_old_file_or_the_new_one(source, here):
    """A few of the many that benchmarks/faults.py has."""
    bbc("compress", "in", "-o", "x.bb", "-q", "--no-times")
    whole = (here / "x.bb").read_bytes()
    started = time.monotonic()
    process("compress", "in", "-o", "y.bb", "-q", "--no-times", check=True)
    took = time.monotonic() - started
    for moment in (0.6, 0.8, 0.95):
        (here / "y.bb").write_text("old")
        killed_at(["compress", "in", "-o", "y.bb", "-f", "-q", "--no-times"], moment * took)
        assert (here / "y.bb").read_bytes() in (b"old", whole)
        killed_at(["decompress", "x.bb", "-o", "back", "-q"], moment * took)
        if (here / "back").exists():
            assert all(
                read(here / "back" / path.relative_to(source)).same_as(read(path)) for path in source.rglob("*.png")
            )
            subprocess.run(["rm", "-r", "back"], check=True)
        for left in here.glob(".bbc-*"):
            subprocess.run(["rm", "-r", left], check=True)


@posix
def test_a_full_disk_is_one_line_and_leaves_nothing(here):
    resource = pytest.importorskip("resource")

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    (here / "in").mkdir()
    noise = Picture("L16", np.random.default_rng(0).integers(0, 1 << 16, (64, 64), np.uint16))
    write(noise, here / "in" / "a.png")
    write(sixteen(), here / "in" / "b.png")
    bbc("compress", "in", "-o", "x.bb", "-q")
    before = names_below(here)
    for arguments in (["compress", "in", "-o", "y.bb"], ["decompress", "x.bb", "-o", "back"]):
        done = process(*arguments, preexec_fn=limited)
        assert_one_line(done, 1)
        assert "File too large" in done.stderr
        assert ("y.bb" if arguments[0] == "compress" else "back/") in done.stderr
        assert names_below(here) == before


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["info", FILES / "good-archive.bb"], ["models"], ["compress", FILES / "digit.png", "-o", "-"]],
    ids=lambda arguments: arguments[0],
)
def test_a_full_or_closed_standard_output(here, arguments):
    with open("/dev/full", "wb") as full:
        assert_one_line(process(*arguments, stdout=full), 1)
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()  # nobody reads
        running.wait(60)
        lines = running.stderr.read()
        assert "Traceback" not in lines and "Exception" not in lines
        assert running.returncode == 1
    done = process(*arguments, preexec_fn=lambda: os.close(1))
    assert done.stderr.count("\n") <= 1 and "Traceback" not in done.stderr
    assert done.returncode == (0 if arguments == ["--help"] else 1)


@posix
def test_closed_standard_input_and_error(here):
    done = process("decompress", "-", "-o", "x.png", preexec_fn=lambda: os.close(0))
    assert_one_line(done, 1)
    # a file must not get the number of standard error, and with it what is printed
    done = process("compress", FILES / "digit.png", "-o", "x.bb", preexec_fn=lambda: os.close(2))
    assert done.returncode == 0
    bbc("test", "x.bb")
    assert process("decompress", "gone.bb", preexec_fn=lambda: os.close(2)).returncode == 1


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), MemoryError(), AssertionError(), ValueError("a\nb\x1b[2J")]
)
def test_unexpected_errors_are_one_line(here, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr("bbcompress.cli.decompress.opened", broken)
    done = bbc("decompress", "x.bb", code=1)
    assert done.stderr.startswith("bbc: ") and done.stderr[:-1].isprintable()
    monkeypatch.setenv("BBC_DEBUG", "1")
    assert "broken" in bbc("decompress", "x.bb", code=1).stderr


def test_names_longer_than_any_path(here):
    for arguments in (["info", "x" * 5000], ["compress", "x" * 5000, "-o", "x.bb"], ["decompress", "x" * 300]):
        done = bbc(*arguments, code=1)
        assert "too long" in done.stderr and done.stderr.count("\n") == 1
    done = bbc("compress", FILES / "digit.png", "-o", "y" * 300, code=1)
    assert "too long" in done.stderr and done.stderr.count("\n") == 1


def test_a_file_is_private_until_it_is_whole(here, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "bbcompress.images.place.set_attributes", lambda *_: seen.append(permissions(next(here.iterdir())))
    )
    place(here / "x", b"secret", overwrite=False, attributes=Attributes(0o644, None))
    assert seen == [0o600]


@posix
def test_a_file_in_a_folder_that_cannot_be_listed_is_read(here):
    (here / "in").mkdir(mode=0o711)
    write(sixteen(), here / "in" / "a.png")
    (here / "in" / "a.png").chmod(0o644)
    here.chmod(0o777)
    (here / "in").chmod(0o711)
    script = (
        "import os\nfrom bbcompress.cli import inputs, reading\n"
        f"os.getuid() or (os.setgid({NOBODY}), os.setuid({NOBODY}))\n"
        "(source,) = reading.inputs(inputs.listed_images(('in/a.png',)).files, reading.Reading())\n"
        "assert source.read().pixels.size"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
