"""How Hypothesis runs here.

No deadline: the first example that meets a kernel pays for compiling it, and a shared
machine stalls now and then; neither is a failure.  In continuous integration (where
the variable CI is set) examples are derived from the test alone and no database of old
failures is read or written: a change is then accepted or refused for what it contains
and not for its luck.  Everywhere else examples are fresh in every run, and a failure is
kept in `.hypothesis` until it is mended: there the search goes on.

A shell starts background jobs with Ctrl-C ignored, and processes inherit that: tests
that interrupt a process would wait in vain, so it is undone here.

Nothing else is global.  Warnings are errors, which setup.cfg says.
"""

import os
import signal

from hypothesis import settings

settings.register_profile("fresh", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "fresh")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
