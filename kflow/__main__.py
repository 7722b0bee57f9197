"""The command line: python -m kflow --help."""

import sys

from kflow.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
