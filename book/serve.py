"""Show the book and preview it again whenever a source changes; nothing is executed."""

import functools
import http.server
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WATCHED = ("book", "kflow", "notebooks")
SOURCES = {".md", ".py", ".css", ".js", ".svg", ".bib", ".yml", ".toml"}


def sources():
    """Every source of the book with the time of its last change."""
    files = [p for folder in WATCHED for p in (ROOT / folder).rglob("*")]
    files += [p for p in ROOT.iterdir() if p.is_file()]
    return {p: p.stat().st_mtime_ns for p in files if p.suffix in SOURCES and p.is_file()}


def preview():
    """Build the site from the executions that there are."""
    subprocess.run([sys.executable, ROOT / "book" / "builder.py", "--preview"])


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files, uncached, without a line for each."""

    def end_headers(self):
        """Let the browser ask for a page anew each time."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        """Say nothing."""


def main(port=8000):
    """Serve on this machine only; stop it with Ctrl+C."""
    preview()
    handler = functools.partial(Quiet, directory=ROOT / "_build" / "html")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"the book is at http://127.0.0.1:{port}; it is built again when a source changes")
    seen = sources()
    try:
        while True:
            time.sleep(1)
            now = sources()
            if now != seen:
                seen = now
                preview()
    except KeyboardInterrupt:
        server.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
