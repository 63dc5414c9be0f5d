"""The short form of `make chaos`."""
import os, subprocess, sys
from support import TOP, equal, limit


@limit(180)
def test_a_pool_survives_what_a_seed_chose(t):
    done = subprocess.run([sys.executable, "-B", os.path.join(TOP, "tests/chaos/run")], env={**os.environ, "CHAOS": "short"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    equal(done.returncode, 0, done.stdout + done.stderr)
