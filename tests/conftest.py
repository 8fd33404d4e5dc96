"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# No test is timed: a busy machine is no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell starts what runs in the background with SIGINT ignored, and children would inherit that: none could be
# interrupted, as some tests do.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
