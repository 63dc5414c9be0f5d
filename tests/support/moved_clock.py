"""A Redis whose clock is a test's (clock_shift.c)."""
import os, subprocess
from support import TOP, Redis, Skip


def moved_server(t):
    """A Redis whose clock runs ahead by what stands in a file; (server, file)."""
    library, shift = os.path.join(t.dir, "clock_shift.so"), os.path.join(t.dir, "shift")
    subprocess.run([os.environ.get("CC") or "cc", "-shared", "-fPIC", "-O2", os.path.join(TOP, "tests/integration/clock_shift.c"), "-o", library], check=True)
    with open(shift, "wb") as file:
        file.write(bytes(8))
    server = Redis(t.dir)
    server.env = {**os.environ, "LD_PRELOAD": library, "CLOCK_SHIFT": shift}
    t.own.append(server.up())
    before = server.client().time()[0]
    with open(shift, "r+b") as file:
        file.write((3_600_000_000).to_bytes(8, "little"))
    if server.client().time()[0] < before + 3600:
        raise Skip("this server's clock can't be moved")
    return server, shift
