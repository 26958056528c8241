"""``python -m ptrag``: the command."""

import sys

from ptrag.cli import main

sys.exit(main())
