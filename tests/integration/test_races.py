"""
Races between readers and invalidations, as schedules on a real Redis and MariaDB.  Each is played twice: with the
cache functions, and with plain DEL and SET, which must show the old value (or the race would prove nothing).
The README's table is what was seen.
"""
import os, random, re
from cache_functions import HOUR, Cache
from support import TOP, equal, limit, wait_for

NO_ROW = b"no such row"  # what plain readers store for it


class World:
    """One row (id 1) in MariaDB, its key, and what readers and workers do, step by step."""
    key = "user:1"

    def __init__(self, t):
        self.t, self.client, self.db = t, t.redis, t.mysql.connect(t.db)
        self.client.flushall()
        self.cache = Cache(self.client)
        self.sql("CREATE TABLE IF NOT EXISTS users (id INT PRIMARY KEY, ver BIGINT, name VARCHAR(20))")
        self.sql("DELETE FROM users")

    def sql(self, statement, *arguments):
        with self.db.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchone()

    # the application's writes, committed; nothing is told yet
    def write(self, version, name=None):
        self.sql("REPLACE INTO users VALUES (1, %s, %s)", version, name or f"v{version}")

    def remove(self):
        self.sql("DELETE FROM users")

    def row(self, connection=None):
        """What a loader reads: (version, bytes) or None."""
        with (connection or self.db).cursor() as cursor:
            cursor.execute("SELECT ver, name FROM users WHERE id = 1")
            row = cursor.fetchone()
        return row and (row[0], row[1].encode())

    def evict(self):
        self.client.delete(self.key)

    def value(self):
        """What a reader gets in the end, from the cache where it can."""
        return self.end(self.begin())

    def is_stale(self):
        row = self.row()
        return self.value() != (row and row[1])


class Versioned(World):
    def begin(self, row=Ellipsis):
        answer = self.client.fcall("sluice_get", 1, self.key)
        return answer, answer[0] == b"HIT" or (self.row() if row is Ellipsis else row)

    def end(self, reader):
        answer, row = reader
        if answer[0] == b"HIT":
            return answer[1]
        if answer[0] == b"LOAD" and row:
            self.cache.fill(self.key, answer[1], row[0], row[1], HOUR)
        elif answer[0] == b"LOAD":
            self.cache.fill_none(self.key, answer[1], answer[2], HOUR)
        return row and row[1]

    def tell(self, version, kind="row", *more):
        return self.cache.invalidate(self.key, version, kind, *more)

    def populate(self, version):
        return self.cache.populate(self.key, version, f"v{version}", HOUR)

    def put(self, version, base):
        equal(self.cache.put(self.key, "writes", version, base, f"v{version}", HOUR, 1000, "id", 1, "name", f"v{version}")[0], "OK")

    def look(self):
        """A refresher's: the value's stamp and the row."""
        return self.cache.get(self.key)[3], self.row()

    def refresh(self, seen):
        return self.cache.refresh(self.key, seen[0], seen[1][0], seen[1][1], HOUR)


class Plain(World):
    def begin(self, row=Ellipsis):
        value = self.client.get(self.key)
        return value, value or (self.row() if row is Ellipsis else row)

    def end(self, reader):
        value, row = reader
        if value is None:
            self.client.set(self.key, row[1] if row else NO_ROW, px=HOUR)
            return row and row[1]
        return None if value == NO_ROW else value

    def tell(self, version, kind="row", *more):
        self.client.delete(self.key)

    def populate(self, version):
        self.client.set(self.key, f"v{version}", px=HOUR)

    def put(self, version, base):
        self.client.set(self.key, f"v{version}", px=HOUR), self.client.xadd("writes", {"id": 1, "name": f"v{version}"})

    def look(self):
        return self.row()

    def refresh(self, row):
        self.client.set(self.key, row[1], px=HOUR)


# --- the schedules; True where the last reader got what is not the row

def race_slow_reader(w):
    """a reader stores what it read before the commit, after the invalidation"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.tell(2)
    w.end(slow)


def race_marker_evicted(w):
    """the same, the key evicted in between"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.tell(2), w.evict()
    w.end(slow)


def race_marker_expired(w):
    """the same, the marker over its time"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.tell(2, "row", 1)
    wait_for("the marker is gone", lambda: not w.client.exists(w.key))
    w.end(slow)


def race_marker_evicted_and_another_lease(w):
    """the same, while another reader holds a lease or has filled"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.tell(2), w.evict()
    other = w.begin()
    w.end(other), w.end(slow)
    assert not w.is_stale() or isinstance(w, Plain)
    w.evict()
    other = w.begin()
    w.end(slow)


def race_lagging_replica(w):
    """a reader that began after the invalidation reads a replica that lags, within the marker's life"""
    w.write(1)
    lagging = w.row()
    w.write(2), w.tell(2)
    w.end(w.begin(lagging))


def race_old_snapshot(w):
    """the same in a transaction whose snapshot is older"""
    w.write(1)
    w.end(w.begin())
    other = w.t.mysql.connect(w.t.db)
    other.begin()
    w.row(other)
    w.write(2), w.tell(2)
    w.end(w.begin(w.row(other)))
    other.close()


def race_old_event_late_on_populate(w):
    """an older event is delivered after a newer one, and writes its row into the cache"""
    w.write(1), w.end(w.begin())
    w.write(2), w.write(3)
    w.populate(3), w.populate(2)


def race_paused_worker(w):
    """a worker that slept wakes behind newer events of its successor; a reader filled in between"""
    w.write(1), w.end(w.begin())
    w.write(2), w.write(3)
    w.tell(3)
    w.end(w.begin())
    w.populate(2)


def race_delete_against_reader(w):
    """a reader of the deleted row stores it after the invalidation"""
    w.write(1)
    slow = w.begin()
    w.remove(), w.tell(2, "deleted")
    w.end(slow)


def race_reinsert_told_in_order(w):
    """deleted and inserted again; a reader of the row before stores it"""
    w.write(1)
    slow = w.begin()
    w.remove(), w.tell(2, "deleted")
    w.write(3), w.tell(3)
    w.end(slow)


def race_reinsert_told_in_the_other_order(w):
    """the same, the deletion told after the insert"""
    w.write(1)
    slow = w.begin()
    w.remove(), w.write(3), w.tell(3), w.tell(2, "deleted")
    w.end(slow)


def race_no_row_against_insert(w):
    """"no such row" is stored after the insert was told"""
    slow = w.begin()
    w.write(1), w.tell(1)
    w.end(slow)


def race_no_row_against_reinsert(w):
    """the same after a deletion"""
    w.write(1), w.remove(), w.tell(2, "deleted")
    slow = w.begin()
    w.write(3), w.tell(3)
    w.end(slow)


def race_refresh_against_invalidation(w):
    """a refresher writes what it read before the commit"""
    w.write(1), w.end(w.begin())
    seen = w.look()
    w.write(2), w.tell(2)
    w.refresh(seen)


def race_refresh_with_the_marker_lost(w):
    """the same, key and marker evicted"""
    w.write(1), w.end(w.begin())
    seen = w.look()
    w.write(2), w.tell(2), w.evict()
    w.refresh(seen)


def race_crash_in_a_fan_out(w):
    """the worker died behind half of its keys and tells all again, while a reader was slow"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.tell(2), w.tell(2)
    w.end(slow)


def race_unversioned_lag(w):
    """an UPDATE left the version as it was; invalidated without one, a lagging reader fills"""
    w.write(1, "wrong"), w.end(w.begin())
    lagging = w.row()
    w.write(1, "right"), w.tell("")
    w.end(w.begin(lagging))


def race_put_and_evicted(w):
    """a value is put with its write, evicted before the commit, and a reader of the row before stores that after the invalidation"""
    w.write(1), w.end(w.begin())
    w.put(2, 1), w.evict()
    slow = w.begin()
    w.write(2), w.tell(2)
    w.end(slow)


RACES = {name[5:]: race for name, race in list(globals().items()) if name.startswith("race_")}


# --- and those with a key of another kind

def generations(w):
    """the number's key is lost; a reader of the old number stores under it"""
    old = w.cache.generation("gen") if isinstance(w, Versioned) else w.client.incr("gen")
    w.write(1)
    slow = w.row()
    w.write(2)
    w.cache.generation_raise("gen") if isinstance(w, Versioned) else w.client.incr("gen")
    w.client.delete("gen")
    w.client.set(f"user:1:v{old}", slow[1])
    number = w.cache.generation("gen") if isinstance(w, Versioned) else w.client.incr("gen")
    return (w.client.get(f"user:1:v{number}") or w.row()[1]) != w.row()[1]


def tags(w):
    """a member joins between its invalidation and its leaving the set"""
    w.write(1), w.client.sadd("tag", w.key), w.end(w.begin())
    w.write(2)
    seconds, us = w.client.time()
    w.tell("")
    w.client.sadd("tag", w.key)
    w.end(w.begin())
    if isinstance(w, Versioned):
        w.cache.untag("tag", (seconds + 2) * 1_000_000 + us, w.key)
    else:
        w.client.srem("tag", w.key)
    w.write(3)
    for member in w.client.smembers("tag"):
        assert member.decode() == w.key
        w.tell("")
    return w.is_stale()


# --- what can only be bounded: it shows in both, and the README says by what

def bounded_restore(w):
    """the cache comes back from a snapshot, or a replica, that missed the invalidation"""
    w.write(1), w.end(w.begin())
    snapshot = w.client.dump(w.key)
    w.write(2), w.tell(2)
    w.client.restore(w.key, HOUR, snapshot, replace=True)


def bounded_lag_beyond_the_marker(w):
    """a reader of a replica that lags longer than the marker lives"""
    w.write(1)
    lagging = w.row()
    w.write(2), w.tell(2), w.evict()
    w.end(w.begin(lagging))


BOUNDED = {name[8:]: race for name, race in list(globals().items()) if name.startswith("bounded_")}


def play(t):
    """[(sentence, stale with DEL and SET, stale with the functions)]"""
    lines = []
    for race in [*RACES.values(), generations, tags, *BOUNDED.values()]:
        stale = []
        for way in (Plain, Versioned):
            w = way(t)
            answer = race(w)
            stale.append(w.is_stale() if answer is None else answer)
        lines.append((race.__doc__, *stale))
    return lines


def table_of(lines):
    word = lambda stale, bounded: ("old, for a TTL" if bounded else "**old**") if stale else "new"
    bounded = {race.__doc__ for race in BOUNDED.values()}
    return "| race | DEL and SET | functions |\n|---|---|---|\n" + "".join(
        f"| {text} | {word(plain, False)} | {word(functions, text in bounded)} |\n" for text, plain, functions in lines)


@limit(120)
def test_every_race_is_lost_by_del_and_set_and_won_by_the_functions(t):
    lines = play(t)
    print("\n" + table_of(lines), file=open(os.path.join(t.dir, "table.md"), "w"))
    bounded = {race.__doc__ for race in BOUNDED.values()}
    equal([text for text, plain, _ in lines if not plain], [], "DEL and SET show the old value")
    equal([text for text, _, functions in lines if functions and text not in bounded], [], "stale with the functions")
    equal([text for text, _, functions in lines if not functions and text in bounded], [], "no longer a limit")
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        equal(re.search("<!-- races -->\n(.*?)<!-- /races -->", readme.read(), re.S)[1], table_of(lines))


# --- random interleavings, the row in memory

class Chances(Versioned):
    """Readers, a writer, workers, refreshers, evictions and redeliveries in any order, from a seed."""

    def __init__(self, t, seed, plain):
        self.client, self.chance, self.plain = t.redis, random.Random(seed), plain
        self.cache = Cache(self.client, load=False)
        self.key = f"random:{seed}:{plain}"
        self.now, self.log, self.history = (0, False), [], [False]  # version, whether there is a row; and by version
        self.readers, self.seen, self.untold, self.told = [], [], [], 0

    def row(self, connection=None):
        version, there = self.now
        return (version, str(version).encode()) if there else None

    def step(self):
        getattr(self, "do_" + self.chance.choice(("begin", "begin", "end", "end", "write", "tell", "tell", "again", "evict", "look", "refresh")))()

    def do_begin(self):
        if self.plain:
            self.readers.append((self.client.get(self.key), self.row()))
        else:
            self.readers.append(self.begin())

    def do_end(self):
        if not self.readers:
            return
        reader = self.readers.pop(self.chance.randrange(len(self.readers)))
        Plain.end(self, reader) if self.plain else self.end(reader)

    def do_write(self):
        there = self.chance.random() < 0.75
        self.now = (self.now[0] + 1, there)
        self.history.append(there)
        self.untold.append((self.now[0], "row" if there else "deleted"))

    def do_tell(self):
        """A worker's, in any order."""
        if self.untold:
            self.log.append(self.untold.pop(self.chance.randrange(len(self.untold))))
            self.say(self.log[-1])

    def do_again(self):
        if self.log:
            self.say(self.chance.choice(self.log))

    def say(self, event):
        Plain.tell(self, *event) if self.plain else self.tell(*event)
        self.told = max(self.told, event[0])

    def do_evict(self):
        if self.chance.random() < 0.3:
            self.evict()

    def do_look(self):
        answer = [None] * 4 if self.plain else self.cache.get(self.key)
        if self.row() and (self.plain or answer[0] == "HIT"):
            self.seen.append((answer[3], self.row()))

    def do_refresh(self):
        if self.seen:
            seen = self.seen.pop(self.chance.randrange(len(self.seen)))
            Plain.refresh(self, seen[1]) if self.plain else self.refresh(seen)

    def is_stale(self):
        """A value, or "no such row", that has not been true since an invalidation was told."""
        p, n = (self.client.get(self.key), None) if self.plain else self.client.hmget(self.key, "p", "n")
        if n is not None or p == NO_ROW:
            return all(self.history[self.told:])
        return p is not None and int(p) < self.told


def play_random(t, plain, count):
    stale = []
    for seed in range(count):
        w = Chances(t, seed, plain)
        for step in range(30):
            w.step()
            if w.is_stale():
                stale.append((seed, step))
                break
        w.evict()
    return stale


@limit(240)
def test_random_interleavings_show_no_old_value(t):
    """N= plays more."""
    count = int(os.environ.get("N") or 1000)
    t.redis.flushall(), Cache(t.redis)
    stale = play_random(t, False, count)
    equal(stale[:3], [], f"{len(stale)} of {count} (seed, step)")
    assert len(play_random(t, True, 200)) > 20, "DEL and SET must show old values, or this proves nothing"
