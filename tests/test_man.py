"""The man page says what the commands say."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def test_the_man_page_is_of_today():
    spec = importlib.util.spec_from_file_location("make_man", DOCS / "make_man.py")
    assert spec is not None and spec.loader is not None
    make_man = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_man)
    assert (DOCS / "bbc.1").read_text("utf-8") == make_man.man_page(), "run python docs/make_man.py"


@pytest.mark.skipif(not shutil.which("man") or not shutil.which("groff"), reason="needs man and groff")
def test_man_shows_the_page_without_a_warning():
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""}
    done = subprocess.run(
        ["man", "--warnings", "-l", DOCS / "bbc.1"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""
    assert "--refine-steps K" in done.stdout and "model is not installed" in done.stdout
