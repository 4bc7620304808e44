"""A declaration module that takes its time."""

import time

time.sleep(0.7)
