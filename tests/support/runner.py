"""
Runs tests/integration/test_*.py: each file in a process of its own with its own servers, four at a time.

	runner.py [WORD]...	only files or tests whose name holds one of the words

Prints "ok|FAIL|AGAIN|skip  file: test  seconds" a test, what went wrong below a FAIL or AGAIN, and nothing else.
AGAIN=1: a test that fails is tried once more when all others are through, with the machine for itself, and only a second
failure counts; both are told.  JOBS=n: so many files at a time.  SKIP="file file": these files are not run.
"""
import concurrent.futures, ctypes, glob, importlib.util, os, signal, subprocess, sys, threading, time, traceback

import support

HERE = os.path.dirname(os.path.abspath(__file__))
SKIP = [f"test_{name}.py" for name in os.environ.get("SKIP", "").split()]
FILES = sorted(path for path in glob.glob(os.path.join(os.path.dirname(HERE), "integration", "test_*.py"))
               if os.path.basename(path) not in SKIP)
LIMIT = 60
JOBS = int(os.environ.get("JOBS") or 4)
LONG = ["kafka", "debezium", "exactly_once", "chaos", "refresh", "invalidate_only", "pool", "network", "refresh_parts"]  # they begin, so that none ends alone
SLOW = 2  # how much slower than one of its own a shared machine may be
FILE_LIMIT = 600 * SLOW
AGAIN = os.environ.get("AGAIN") == "1"


class TooLong(BaseException):
    """Not an Exception, so that no wait_for takes it for a "not yet"."""


def on_alarm(_number, _frame):
    raise TooLong


def tests_of(path, words, only=None):
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [(key[5:], test) for key, test in vars(module).items() if key.startswith("test_") and callable(test)]
    if only:
        return [(key, test) for key, test in tests if key == only]
    return [(key, test) for key, test in tests if not words or any(word in name or word in key for word in words)]


def report(word, path, test, seconds, more=""):
    print(f"{word:4}  {os.path.basename(path)[5:-3]}: {test}  {seconds:.1f}s{more}", flush=True)


def run_test(path, name, test, servers, directory, again):
    """again: one that fails gets another try later; not where a sanitizer spoke."""
    case = support.Case(servers, name, os.path.join(directory, name))
    start, failed = time.monotonic(), True
    signal.alarm(int(getattr(test, "limit", LIMIT) * SLOW * support.PATIENCE))
    try:
        test(case)
        case.close(False)
        signal.alarm(0)
        failed = False
        report("ok", path, name, time.monotonic() - start)
    except support.Skip as reason:
        failed = False
        report("skip", path, name, time.monotonic() - start, f"  ({reason})")
    except (Exception, TooLong) as error:
        signal.alarm(0)
        text = explain(error, case)
        again = again and "Sanitizer" not in text and "runtime error:" not in text
        report("AGAIN" if again else "FAIL", path, name, time.monotonic() - start)
        print("".join("      " + line + "\n" for line in text.splitlines()), end="", flush=True)
    finally:
        signal.alarm(0)
        case.close(True)
    return not failed


def explain(error, case):
    text = "took too long\n" if isinstance(error, TooLong) else ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/integration/" in frame.filename]
    text += "".join(f"{os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}\n" for frame in frames[-3:])
    text += f"{type(error).__name__}: {str(error)[:1500]}\n"
    for process in case.sluices:
        if os.path.exists(process.log):
            text += f"{process.log}:\n" + "\n".join(line[:400] for line in process.text().splitlines()[-12:]) + "\n"
    return text


def run_file(path, words, only):
    directory = os.path.join(support.BUILD, "run", f"{os.path.basename(path)[5:-3]}.{os.getpid()}")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tests = tests_of(path, words, only)
    if not tests:
        return True
    servers = support.Servers(directory)
    good = True
    for name, test in tests:
        for server in (servers.redis, servers.mysql):
            if not server.alive():
                server.up()
        good = run_test(path, name, test, servers, directory, AGAIN and not only) and good
    support.kill_all()
    if good:
        support.remove(directory)
    return good


def in_a_process(path, words, only=""):
    """
    Prints its lines, a crash included; returns whether nothing failed, and the tests to try again.  It dies with us: a
    thread that waits for it lives as long as it does.
    """
    child = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), "--file", path, only, *words], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0))
    start, lines = time.monotonic(), []
    watchdog = threading.Timer(FILE_LIMIT * support.PATIENCE, child.kill)
    watchdog.start()
    for line in child.stdout:
        lines.append(line.decode(errors="replace"))
        sys.stdout.write(lines[-1])
        sys.stdout.flush()
    code = child.wait()
    watchdog.cancel()
    again = [line.split(": ", 1)[1].rsplit("  ", 1)[0] for line in lines if line.startswith("AGAIN")]
    failed = any(line.startswith("FAIL") for line in lines)
    if code != 0 and (code != 1 or not (failed or again)):
        report("FAIL", path, f"the file ended with {code}", time.monotonic() - start)
        failed = True
    return not failed, [(path, test) for test in again]


def main():
    words = sys.argv[1:]
    if words[:1] == ["--file"]:
        return 0 if run_file(words[1], words[3:], words[2]) else 1
    support.mariadb_template()
    longest_first = sorted(FILES, key=lambda path: not any(path.endswith(f"test_{name}.py") for name in LONG))
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(lambda path: in_a_process(path, words), longest_first))
    results += [in_a_process(path, [], test) for _, again in results for path, test in again]
    return 0 if all(good for good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
