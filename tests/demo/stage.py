"""What the demos share: a screen, a failure that people can read, and an end that leaves nothing running."""
import os, shutil, signal, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
import support


class Failed(Exception):
    pass


class Screen:
    """One screen, drawn over itself; without a terminal plain lines.  The demo's own has lines() and line()."""

    def __init__(self):
        self.screen, self.drawn, self.events = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb", 0, []
        if self.screen:
            sys.stdout.write("\x1b[?25l\x1b[2J")

    def event(self, seconds, text):
        self.events.append((seconds, text))
        if not self.screen:
            print(f"{seconds:5.1f}s  {text}"[:200], flush=True)

    def draw(self):
        if self.screen:
            size, lines = shutil.get_terminal_size(), self.lines()
            shown = lines + [""] + [f"{seconds:5.1f}s  {text}" for seconds, text in self.events[-max(3, size.lines - len(lines) - 3):]]
            sys.stdout.write("\x1b[H" + "".join(line[:size.columns - 1] + "\x1b[K\n" for line in shown[:size.lines - 1]) + "\x1b[J")
            sys.stdout.flush()
        elif time.monotonic() - self.drawn >= 2:
            self.drawn = time.monotonic()
            print(self.line(), flush=True)

    def end(self):
        if self.screen:
            sys.stdout.write("\x1b[?25h\n")
            sys.stdout.flush()
            self.screen = False


def hear_signals():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))


def play(demo, directory, *acts, stays=lambda: False):
    """The acts, of which the last answers whether all was well, as this does.  Nothing is left running unless stays()."""
    good = False
    try:
        for act in acts:
            good = act()
    except (Failed, support.Skip, AssertionError) as failure:
        good = False
        if demo.view:
            demo.view.end()
        print(f"FAILED: {failure}\nlogs: {os.path.relpath(directory)}")
    except KeyboardInterrupt:
        print("\ninterrupted")
        sys.exit(130)
    finally:
        if demo.view:
            demo.view.end()
        if not stays():
            support.kill_all()
    return good
