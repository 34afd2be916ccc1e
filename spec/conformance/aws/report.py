"""How a part tells its checks: one line of JSON each on standard output, which run.lua reads."""

import json
import sys
import traceback


def _print(line):
    print(json.dumps(line), flush=True)


def tell(check, ok, why=None, expected=None, got=None):
    line = {"check": check, "ok": bool(ok)}
    if not ok:
        line.update(why=why, expected=expected, got=got)
    _print(line)


def end():
    _print({"end": True})


class Different(Exception):
    def __init__(self, what, expected, got):
        super().__init__(what)
        self.expected, self.got = expected, got


def same(got, expected, what="not equal"):
    if got != expected:
        raise Different(what, expected, got)


def check(name, fn):
    """Run one check; its failure does not end the part. Returns what `fn` returned, or None."""
    try:
        value = fn()
    except Different as error:
        tell(name, False, str(error), json.dumps(error.expected, default=str),
             json.dumps(error.got, default=str))
    except Exception as error:  # whatever went wrong is this check's result
        place = traceback.extract_tb(sys.exc_info()[2])[-1]
        tell(name, False, f"{type(error).__name__}: {error} ({place.name}:{place.lineno})")
    else:
        tell(name, True)
        return value
    return None
