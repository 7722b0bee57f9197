"""The game of the book: its modules under Node, against games played by kflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(path.name for path in HERE.glob("*.test.js"))


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    path = tmp_path_factory.mktemp("play") / "vectors.json"
    subprocess.run([sys.executable, HERE / "vectors.py", path], check=True)
    return path


@pytest.mark.skipif(shutil.which("node") is None, reason="not run: Node is missing")
@pytest.mark.parametrize("file", FILES)
def test_the_game_in_the_browser_plays_as_kflow_does(file, games):
    result = subprocess.run(
        [shutil.which("node"), "--test", HERE / file],
        env={**os.environ, "KFLOW_VECTORS": str(games)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
