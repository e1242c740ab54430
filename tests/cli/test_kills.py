"""Signal 9 at random moments of a run and of an update: `benchmarks/kills.py` with few moments."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost_when_a_run_or_an_update_is_killed():
    script = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--moments", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(script, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["run"]["same bits"] == found["update"]["same answers"] == 2
    assert found["update"]["predicts as published"] == 2
    assert found["run"]["cut"] + found["update"]["cut"] >= 1  # some kill came in time
