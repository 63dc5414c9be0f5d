"""What the tests of refresh ahead share: a table `articles` with refresh, and readers."""
import json, threading, time
from cache_functions import SOURCE, Cache
from support import equal

HOUR = 3_600_000


def articles(t, count=20, **refresh):
    """Rows 1 … count of `articles`, versioned at a:{id}; the configuration with refresh."""
    t.sql("CREATE TABLE articles (id BIGINT UNSIGNED PRIMARY KEY, title VARCHAR(64), views INT, price DECIMAL(10,2), raw VARBINARY(8), ver BIGINT)")
    t.sql(f"INSERT INTO articles SELECT seq, CONCAT('t', seq), 0, 1.50, UNHEX('00ff'), 1 FROM seq_1_to_{count}")
    t.redis.function_load(SOURCE, replace=True)
    return dict(
        sources=[{"streams": t.prefix + ":a", "table": "articles"}],
        tables={"users": None, "articles": {"version": "ver", "invalidate": [{"key": t.prefix + ":a:{id}", "mode": "versioned"}],
                                            "refresh": {"ttl": "2s", "threshold": 30, **refresh}}},
        refresh={"half_life": "5s"})


def plain(t, count=20, **refresh):
    settings = articles(t, count, **refresh)
    del settings["tables"]["articles"]["version"]
    settings["tables"]["articles"]["invalidate"] = [t.prefix + ":a:{id}"]
    return settings


def key(t, number):
    return f"{t.prefix}:a:{number}"


def counters(sluice):
    return sluice.status()["refresh"]


def reader_of(cache, names, stop, misses, sample=1, every=0.01):
    """Reads the keys over and over; what it must load itself is a miss, and is filled: where the machine stands still for a moment a
    refresh may come late once."""
    while not stop.is_set():
        for name in names:
            answer = cache.get(name, 50, 20, sample)
            if answer[0] == "LOAD":
                misses.append(name)
                cache.fill(name, answer[1], 1, "{}", 2000, 0)
        time.sleep(every)


class Readers:
    """Threads that read keys until the end of the block."""

    def __init__(self, t, names, count=1, **how):
        self.stop, self.misses = threading.Event(), []
        self.threads = [threading.Thread(target=reader_of, args=(Cache(t.redis, load=False), names, self.stop, self.misses), kwargs=how)
                        for _ in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def filled(t, numbers, version=1, ttl=2000):
    cache = Cache(t.redis, load=False)
    for number in numbers:
        token, _ = cache.load(key(t, number))
        equal(cache.fill(key(t, number), token, version, json.dumps({"id": number}), ttl, 0), "OK")
    return cache
