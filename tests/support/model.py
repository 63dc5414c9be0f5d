"""
What the tables must hold after entries that a seed chose, applied one by one in the order of their lanes, and which of
them must be dead letters.  Four tables: users (counters, upserts, updates, deletes), profiles (given versions), and
orders and items, changed together by lists in one JSON entry.

With park a fifth table, whose poison parks its keys: what follows them becomes dead letters too, and all of it is applied
after a repair (a column that was missing) and a replay.

A producer that lost an answer must not add an entry twice, so the ids are the producer's own: Redis refuses one that
is already there.
"""
import json, random, time
import redis
from support import lane_of

TABLES = """
CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), credits BIGINT NOT NULL DEFAULT 0, hits INT UNSIGNED) CHARACTER SET utf8mb4;
CREATE TABLE profiles (id VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, body VARCHAR(200), stars BIGINT, ver BIGINT UNSIGNED) CHARACTER SET utf8mb4;
CREATE TABLE orders (id INT PRIMARY KEY, state VARCHAR(20), total BIGINT NOT NULL DEFAULT 0) CHARACTER SET utf8mb4;
CREATE TABLE items (id INT PRIMARY KEY, sold INT NOT NULL DEFAULT 0, note VARCHAR(20)) CHARACTER SET utf8mb4"""
COLUMNS = {"users": "id, name, credits, hits", "profiles": "id, body, stars, ver", "orders": "id, state, total", "items": "id, sold, note"}
PARKED = "CREATE TABLE parked (id INT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0, note VARCHAR(40)) CHARACTER SET utf8mb4"
PARKED_COLUMNS = "id, n, note"
USER_LANES, PROFILE_LANES, SHOP_LANES, PARKED_LANES = 4, 2, 2, 2


class Model:
    def __init__(self, seed, prefix, keys=300, park=False):
        self.random, self.prefix, self.keys = random.Random(seed), prefix, keys
        self.rows = {table: {} for table in COLUMNS}
        self.dead = []      # (stream, id, reason)
        self.park, self.parked, self.waiting, self.repairs = park, set(), [], 0
        self.clock, self.last, self.count, self.outdated = 0, {}, 0, 0

    def settings(self):
        """sources and tables of the configuration."""
        p = self.prefix
        parked = [{"streams": f"{p}:parked:{{0..{PARKED_LANES - 1}}}", "table": "parked"}] if self.park else []
        tables = {"parked": {"on_poison": "park"}} if self.park else {}
        return {"sources": parked + [{"streams": f"{p}:users:{{0..{USER_LANES - 1}}}", "table": "users"},
                            {"streams": f"{p}:profiles:{{0..{PROFILE_LANES - 1}}}", "table": "profiles"},
                            {"streams": f"{p}:shop:{{0..{SHOP_LANES - 1}}}", "tables": ["orders", "items"], "format": "json"}],
                "tables": {"users": {"invalidate": ["user:{id}"]}, "profiles": {"version": "ver"}, "orders": {}, "items": {}, **tables}}

    # --- one entry: (stream, id, fields, cache key that it makes stale or None)

    def entry(self):
        self.count += 1
        make = self.random.choices([self._user, self._profile, self._shop, self._parked], [60, 20, 20, 10 if self.park else 0])[0]
        stream, fields, key, reason = make()
        major, minor = self.last.get(stream, (0, 0))
        now = int(time.time() * 1000)
        self.last[stream] = (now, 0) if now > major else (major, minor + 1)
        name = "%d-%d" % self.last[stream]
        if reason:
            (self.waiting if make == self._parked else self.dead).append((stream, name, reason))
        return stream, name, fields, None if reason else key

    def _user(self):
        rnd, users = self.random, self.rows["users"]
        key = min(int(rnd.paretovariate(0.8)), self.keys)
        stream = lane_of(self.prefix + ":users", key, USER_LANES)
        what = rnd.choices(["upsert", "update", "delete", "incr", "bad"], [34, 12, 5, 48, 1])[0]
        row, fields = users.get(key), {"_op": what, "id": key}
        if what == "bad":
            fields, reason = rnd.choice([({"id": key, "nosuch": 1}, "unknown_column"), ({"name": "x"}, "no_key"),
                                         ({"id": key, "name": "x" * 41}, "bad_value"), ({"id": f"0{key}", "name": "x"}, "bad_key"),
                                         ({"_op": "explode", "id": key}, "bad_operation"),
                                         ({"_table": "profiles", "id": key}, "table_denied")])
            return stream, fields, None, reason
        if what == "delete":
            users.pop(key, None)
        elif what == "incr":
            fields["credits"] = credits = rnd.randint(-50, 50)
            fields["hits"] = hits = rnd.randint(-3, 9) if rnd.random() < 0.1 else rnd.randint(0, 3)
            if (row[1] if row and row[1] else 0) + hits < 0:
                return stream, fields, None, "out_of_range"
            name, old, count = row[0] if row else None, row[2] if row else 0, row[1] if row and row[1] else 0
            users[key] = [name, count + hits, old + credits]
        else:
            fields["name"] = name = f"n{rnd.randint(0, 10**9)} ☃"
            credits = rnd.randint(-1000, 1000) if rnd.random() < 0.3 else None
            if credits is not None:
                fields["credits"] = credits
            if what == "upsert" or row is not None:
                row = row or [None, None, 0]
                users[key] = [name, row[1], row[2] if credits is None else credits]
        return stream, fields, f"user:{key}", None

    def _profile(self):
        rnd, profiles = self.random, self.rows["profiles"]
        key = f"{rnd.choice(['ann', 'Ann', 'bo b', 'c:c'])}{rnd.randint(0, 20)}"
        stream = lane_of(self.prefix + ":profiles", key, PROFILE_LANES)
        self.clock += 1
        version = self.clock if rnd.random() < 0.75 else max(1, self.clock - rnd.randint(1, 300))
        fields, row = {"id": key, "_version": version}, profiles.get(key)
        if rnd.random() < 0.01:
            return stream, {"id": key, "body": "no version"}, None, "bad_version"
        newer = row is None or row[2] < version
        self.outdated += not newer
        if rnd.random() < 0.85:
            fields["body"] = body = rnd.choice("abcdefgh") * rnd.randint(0, 60)
            if newer:
                profiles[key] = [body, row[1] if row else None, version]
        else:
            fields.update(_op="update", stars=rnd.randint(-2**62, 2**62))
            if row is not None and newer:
                profiles[key] = [row[0], fields["stars"], version]
        return stream, fields, None, None

    def _parked(self):
        """The rows are what they are after the next repair and replay."""
        rnd, key = self.random, self.random.randint(1, 200)
        fields, row = {"id": key}, self.rows.setdefault("parked", {}).setdefault(key, [0, None])
        follows = key in self.parked
        if rnd.random() < 0.01:
            fields[f"later{self.repairs}"] = 1
            self.parked.add(key)
            reason = "unknown_column"  # its own mistake, whatever it stands behind
        else:
            reason = "parked" if follows else None
            if rnd.random() < 0.6:
                fields.update(_op="incr", n=rnd.randint(1, 9))
                row[0] += fields["n"]
            else:
                fields["note"] = row[1] = f"n{rnd.randint(0, 10**6)}"
        return lane_of(self.prefix + ":parked", key, PARKED_LANES), fields, None, reason

    def repair(self):
        """The statement after which what is parked can be applied; from now on another column is missing."""
        statement = f"ALTER TABLE parked ADD COLUMN later{self.repairs} INT NULL"
        self.parked.clear()
        self.waiting.clear()
        self.repairs += 1
        return statement

    def _shop(self):
        rnd, orders, items = self.random, self.rows["orders"], self.rows["items"]
        lane = rnd.randrange(SHOP_LANES)
        number = lambda most: rnd.randrange(most) * SHOP_LANES + lane
        order, sold, total = number(60), number(10), rnd.randint(1, 99)
        parts = [{"_table": "orders", "_op": "upsert", "id": order, "state": f"s{rnd.randint(0, 99)}"},
                 {"_table": "orders", "_op": "incr", "id": order, "total": total},
                 {"_table": "items", "_op": "incr", "id": sold, "sold": rnd.randint(1, 3)}]
        if rnd.random() < 0.1:
            parts = [{"_table": "orders", "_op": "delete", "id": order}, {"_table": "items", "_op": "update", "id": sold, "note": "back"}]
        stream, reason = f"{self.prefix}:shop:{lane}", None
        if rnd.random() < 0.01:
            part, reason = rnd.choice([({"_table": "items", "id": sold, "nosuch": 1}, "unknown_column"),
                                       ({"_table": "users", "id": sold}, "table_denied"),
                                       ({"_table": "items", "id": sold, "note": "x" * 21}, "bad_value")])
            parts.insert(rnd.randrange(len(parts) + 1), part)
        else:
            for part in parts:
                self._part(part, orders, items)
        return stream, {"j": json.dumps(parts)}, None, reason

    @staticmethod
    def _part(part, orders, items):
        key = part["id"]
        if part["_table"] == "items":
            if part["_op"] == "incr":
                row = items.setdefault(key, [0, None])
                row[0] += part["sold"]
            elif key in items:
                items[key][1] = part["note"]
        elif part["_op"] == "delete":
            orders.pop(key, None)
        else:
            row = orders.setdefault(key, [None, 0])
            if part["_op"] == "incr":
                row[1] += part["total"]
            else:
                row[0] = part["state"]

    # --- at the end

    def table(self, name):
        """As SELECT in the order of COLUMNS gives it."""
        rows = self.rows.get(name, {})
        if name == "users":
            return {key: (row[0], row[2], row[1]) for key, row in rows.items()}
        return {key: tuple(row) for key, row in rows.items()}

    def differences(self, case):
        """Sentences, nothing when all is as it must be."""
        out = []
        columns_of = {**COLUMNS, "parked": PARKED_COLUMNS} if self.park and not self.waiting else COLUMNS
        for name, columns in columns_of.items():
            got = {row[0]: tuple(row[1:]) for row in case.sql(f"SELECT {columns} FROM {name}")}
            want = self.table(name)
            wrong = sorted((key for key in got.keys() | want.keys() if got.get(key) != want.get(key)), key=str)
            if wrong:
                out.append(f"{len(wrong)} rows of {name} differ")
                out += [f"{name} {key!r}: is {got.get(key)}, must be {want.get(key)}" for key in wrong[:5]]
        got = sorted((str(row["lane"], "ascii").split("/", 2)[2], row["entry"], row["reason"]) for row in case.dead()
                     if row["state"] not in ("applied", "closed"))
        want = sorted(self.dead + self.waiting)
        extra, lacking = [x for x in got if x not in set(want)], [x for x in want if x not in set(got)]
        if extra or lacking or len(got) != len(set(got)):
            out.append(f"dead letters: {len(got)}, must be {len(want)}; too many: {extra[:5]}, missing: {lacking[:5]}"
                       f"{', some twice' if len(got) != len(set(got)) else ''}")
        return out


def add_entries(client, entries, seconds=60):
    """Add them in their order whatever happens to the connection; each is there once in the end."""
    end, again = time.monotonic() + seconds, False
    while True:
        # all or nothing: an entry that failed while a later one of its lane did not could never be added any more
        pipe = client.pipeline(transaction=True)
        for stream, name, fields, _ in entries:
            pipe.xadd(stream, fields, id=name)
        try:
            answers = pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError):
            if time.monotonic() > end:
                raise
            again = True
            time.sleep(0.05)
            continue
        wrong = [answer for answer in answers if isinstance(answer, Exception) and not (again and "equal or smaller" in str(answer))]
        assert not wrong, f"XADD: {wrong[0]}"
        return
