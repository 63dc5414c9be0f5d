"""The cache functions (worker/cache/functions.lua) as a reader calls them."""
import os, re
import redis
from support import TOP, Redis, equal, wait_for

with open(os.path.join(TOP, "worker/cache/functions.lua"), encoding="utf-8") as file:
    SOURCE = file.read()
NONE = "0" * 21
HOUR = 3_600_000
VERSIONED = {"key": "user:{id}", "mode": "versioned"}


def row(version):
    return f"{version:020}1"


def deleted(version):
    return f"{version:020}2"


class Cache:
    """The functions of one server, called in either form; answers are text, integers, None or lists of them."""

    def __init__(self, client, script=False, load=True):
        self.client = client
        self.sha = client.script_load(SOURCE.split("\n", 1)[1]) if script else None
        if load and not script:
            client.function_load(SOURCE, replace=True)

    def call(self, name, key, *arguments):
        keys = key if isinstance(key, tuple) else (key,)
        if self.sha:
            answer = self.client.evalsha(self.sha, len(keys), *keys, name, *arguments)
        else:
            answer = self.client.fcall(name, len(keys), *keys, *arguments)
        text = lambda x: x.decode("latin-1") if isinstance(x, bytes) else x
        return [text(x) for x in answer] if isinstance(answer, list) else text(answer)

    def put(self, key, stream, version, base, payload, ttl, max_backlog, *fields, group=""):
        return self.call("sluice_put", (key, stream), version, base, payload, ttl, max_backlog, group, *fields)

    def __getattr__(self, name):
        return lambda key, *arguments: self.call("sluice_" + name, key, *arguments)

    def load(self, key, *arguments):
        """A miss: (token, floor)."""
        answer = self.get(key, *arguments)
        equal(answer[0], "LOAD")
        return answer[1:]

    def filled(self, key, version, payload="v", ttl=HOUR, *more):
        token, _ = self.load(key)
        equal(self.fill(key, token, version, payload, ttl, *more), "OK")

    def hash(self, key):
        return {name.decode(): value.decode("latin-1") for name, value in self.client.hgetall(key).items()}

    def over(self, key):
        """A miss as soon as the value or lease there is over its time."""
        return wait_for("it is over its time", lambda: [answer[1:] for answer in [self.get(key)] if answer[0] == "LOAD"])[0]

    def short(self, key, version, payload="v"):
        """A value that is over its time at once, in a key that stays because of its marker."""
        equal(self.invalidate(key, version, "", "", HOUR), "NEW")
        self.filled(key, version, payload, 1, 0)

    def forget(self, key):
        """As an eviction does."""
        self.client.delete(key)


def readme_read():
    """The README's read path, as a function."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        code = re.search("<!-- read path -->\n```python\n(.*?)```", readme.read(), re.S)[1]
    names = {"redis": redis}
    exec(code, names)  # pylint: disable=exec-used
    return names["read"]


# --- a sluice with a cache of its own

def start(t, *templates, cache=None, version="ver", **more):
    """A sluice whose cache is a Redis of its own; answers (process, server)."""
    t.sql("""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20), credits INT UNSIGNED NOT NULL DEFAULT 0,
             ver BIGINT UNSIGNED) CHARACTER SET utf8mb4""")
    server = Redis(t.dir).up()
    t.own.append(server)
    table = {"invalidate": list(templates) or [VERSIONED], **({"version": version} if version else {})}
    process = t.sluice(cache=cache(server) if cache else {"url": server.url}, tables={"users": table}, **more)
    if not cache:
        equal(t.command("functions", "load", process.config)[0], 0)
    return process, server


def reader(server):
    """Calls the functions that sluice loaded."""
    return Cache(server.client(), load=False)


def user(t, key, version, **fields):
    t.user(key, _version=version, **fields)
