"""
Races between readers and invalidations, as schedules on a real Redis and MariaDB.  Each is played twice: with the
cache functions, and with plain DEL and SET, which must show the old value (or the race would prove nothing).
The README's table is what was seen.
"""
import os, re, subprocess
from cache_functions import HOUR, Cache
from moved_clock import moved_server
from support import TOP, build_program, equal, limit, wait_for

NO_ROW = b"no such row"  # what plain readers store for it


class World:
    """A row in MariaDB (id 1, unless another is chosen), its key, and what readers and workers do, step by step."""
    key = "user:1"

    @property
    def id(self):
        return int(self.key.split(":")[1])

    def at(self, number):
        self.key = f"user:{number}"
        return self

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
        self.sql("REPLACE INTO users VALUES (%s, %s, %s)", self.id, version, name or f"v{version}")

    def remove(self):
        self.sql("DELETE FROM users WHERE id = %s", self.id)

    def row(self, connection=None):
        """What a loader reads: (version, bytes) or None."""
        with (connection or self.db).cursor() as cursor:
            cursor.execute("SELECT ver, name FROM users WHERE id = %s", self.id)
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

    def begin_unversioned(self, row=Ellipsis):
        """By a reader of rows that have no version: it fills with the floor."""
        answer, row = self.begin(row)
        return answer, row if answer[0] != b"LOAD" else (answer[2], row[1])

    def place(self, number, log, at=1000):
        """What a worker tells of such a row's change."""
        return self.tell(number, "row", "", "", "", "", "", log, at)

    def populate(self, version, name=None):
        return self.cache.populate(self.key, version, name or f"v{version}", HOUR)

    def repeat(self, version):
        """What a worker sends of a change that may have been told before: a row is never written again."""
        self.tell(version)

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

    def begin_unversioned(self, row=Ellipsis):
        return self.begin(row)

    def place(self, number, log, at=1000):
        self.tell(number)

    def populate(self, version, name=None):
        self.client.set(self.key, name or f"v{version}", px=HOUR)

    repeat = populate

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


def race_old_event_late(w):
    """an older event is told after a newer one, while the reader of the oldest row is slow"""
    w.write(1)
    slow = w.begin()
    w.write(2), w.write(3), w.tell(3)
    w.end(w.begin()), w.tell(2)
    w.end(slow)


def race_late_tombstone(w):
    """the deletion is told when the row is there again and was read"""
    w.write(1)
    slow = w.begin()
    w.remove(), w.write(3), w.tell(3)
    w.end(w.begin()), w.tell(2, "deleted"), w.tell(1, "deleted")
    w.end(slow)


def race_primary_key_moves(w):
    """a row's primary key changes; the halves come by two partitions, the new key's first, and readers of both keys are slow"""
    w.write(1)
    old = w.begin()
    none = w.at(2).begin()
    w.at(1).remove(), w.at(2).write(2)
    w.tell(2), w.at(1).tell(1, "deleted")
    w.end(old), w.at(2).end(none)
    return w.is_stale() or w.at(1).is_stale()


def race_dead_letter_replayed(w):
    """an old event that was a dead letter is applied again, behind newer ones"""
    w.write(1), w.write(2), w.tell(2), w.end(w.begin())
    w.populate(1)


def race_told_again_after_an_eviction(w):
    """a worker died before it knew that its rows were in the cache; newer ones since, the key evicted"""
    w.write(1), w.end(w.begin())
    w.write(2), w.populate(2), w.write(3), w.populate(3), w.evict()
    w.repeat(1), w.repeat(2)


def race_two_templates(w):
    """two versions of the application read the row under two keys during a deployment; the worker has both"""
    w.write(1)
    keys = ("user:1", "user:1:new")
    slow = [(key, setattr(w, "key", key), w.begin())[::2] for key in keys]
    w.write(2)
    for w.key in keys:
        w.tell(2)
    stale = []
    for w.key, reader in slow:
        w.end(reader)
        stale.append(w.is_stale())
    return any(stale)


def race_equal_version_with_wrong_data(w):
    """what stands under the right version was wrong and is written anew; a reader of the wrong is slow"""
    w.write(1, "wrong")
    slow = w.begin()
    w.write(1, "right"), w.populate(1, "right")
    w.end(slow)


def race_truncate_without_a_generation(w):
    """the table is emptied and its keys are found by SCAN; a reader of a row before is slow"""
    w.write(1)
    slow = w.begin()
    w.remove()
    for key in w.client.scan_iter("user:*"):
        w.at(key.decode().split(":")[1]).tell("")
    w.end(slow)


def race_mysql_loses_commits(w):
    """MySQL fails over and loses a commit whose value the cache has seen; a reader of it is slow"""
    w.write(1), w.write(2), w.tell(2)
    slow = w.begin()
    w.write(1), w.tell("")
    w.end(slow)


def race_positions_start_again(w):
    """rows without a version, told with their places in the log: another server takes over, whose places start again"""
    w.write(1), w.place(2**40, "1/binlog"), w.end(w.begin_unversioned())
    slow = w.row()
    w.write(1, "right"), w.place(4, "2/binlog")
    w.end(w.begin_unversioned(slow))


def race_log_begins_again(w):
    """the same, and the log begins again on the same server"""
    w.write(1), w.place(2**40, "1/binlog")
    slow = w.begin_unversioned()
    w.write(1, "right"), w.place(4, "1/binlog", 2000)
    w.end(slow)


def race_place_moves_meanwhile(w):
    """rows without a version: a reader stores what it read before the commit"""
    w.write(1), w.place(4, "1/binlog")
    slow = w.begin_unversioned()
    w.write(1, "right"), w.place(5, "1/binlog")
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


def bounded_key_that_no_worker_knows(w):
    """a new version of the application reads a key that the worker's templates don't have yet"""
    w.key = "user:1:new"
    w.write(1), w.end(w.begin())
    w.write(2), w.at(1).tell(2)
    w.key = "user:1:new"


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


# --- random interleavings

FAMILIES = {"versioned", "replica", "put", "populate", "populate_put", "asleep", "unversioned", "places", "failover", "beyond", "places_replica"}
BEYOND_A_BOUND = {"beyond", "places_replica"}  # what must show old values, or there is no such bound


@limit(600)
def test_random_interleavings_show_no_old_value(t):
    """race_families.c, which says what is played.  N= plays more of each family."""
    server, shift = moved_server(t)
    count = int(os.environ.get("N") or 1000)
    program = build_program("race_families", "race_play", "race_cache", "race_worker", "race_oracle")
    done = subprocess.run([program, str(server.port), shift, "1", str(count)], capture_output=True, text=True, check=False)
    equal(done.returncode, 0, done.stdout[-2000:] + done.stderr[-2000:])
    print(done.stdout, file=open(os.path.join(t.dir, "families"), "w"))
    lines = [line.split(" ", 6) for line in done.stdout.splitlines()]
    equal({line[0] for line in lines}, FAMILIES)
    for name, way, played, hits, old, _, *why in lines:
        assert int(hits) > int(played), f"{name}, {way}: hardly ever a value was there"
        if way == "plain":
            assert int(old) * 20 > int(played), f"{name}: DEL and SET must show old values, or this proves nothing"
        elif name in BEYOND_A_BOUND:
            assert int(old) > 0, f"{name}: no longer a limit"
        else:
            equal((name, int(old)), (name, 0), " ".join(why))
    in_bound = {name: int(count) for name, way, *_, count in [line[:6] for line in lines] if way == "functions"}
    assert in_bound["failover"] > 0, "no old value before what was lost is told again: then nothing was lost"
