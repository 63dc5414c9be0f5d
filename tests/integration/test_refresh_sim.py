"""The simulation of refresh ahead (tests/sim_refresh) beside a real Redis: the fake cache must answer as it does."""
import os, subprocess
from moved_clock import moved_server
from support import TOP, Skip, equal, limit


@limit(300)
def test_the_cache_of_the_simulation_answers_as_the_real_one(t):
    """N= plays more."""
    program = os.path.join(TOP, "build", os.environ.get("VARIANT") or "release", "sim_refresh")
    if not os.path.exists(program):
        raise Skip("it is not built")
    server, clock = moved_server(t)
    done = subprocess.run([program, "--server", str(server.port), clock, os.environ.get("N") or "6"], capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
