"""`python -m tests.faults.recorded ...`: the command line `lanebridge ...`, with its bridge recorded (recorder.py).

FAULTS_HISTORY: the directory for the history, without it nothing is recorded; FAULTS_NAME: what the bridge is called;
FAULTS_INTERRUPT: a seed, its fetches are interrupted.
"""

from __future__ import annotations

import os

from bridge.cli.main import main
from tests.faults import interrupts, recorder

HISTORY = os.environ.get("FAULTS_HISTORY", "")

if HISTORY:
    recorder.install(HISTORY, os.environ.get("FAULTS_NAME", ""))
if os.environ.get("FAULTS_INTERRUPT"):
    interrupts.install(int(os.environ["FAULTS_INTERRUPT"]))
try:
    main()
finally:
    if HISTORY:
        recorder.ended(HISTORY)
