"""What all programs here have in common: the plan that the suite hands over, and the file that tells it what was done."""

import json
import os

URL = os.environ.get("INTEROP_URL", "")
PLAN = json.loads(os.environ.get("INTEROP_PLAN", "{}"))


def note(**fields):
    """One line, by one write: processes that share the file do not mix."""
    line = json.dumps(fields, sort_keys=True) + "\n"
    file = os.open(os.environ["INTEROP_EVIDENCE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
