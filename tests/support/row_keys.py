"""Cases of keys that only MySQL knows: a sluice with a cache of its own that can be stopped."""
from support import Redis, app_keys, wait_for

TEAM = "team:{team}"


def start(t, *templates, own=True, more_columns="", table=(), **more):
    """A sluice with a cache of its own that can be stopped; answers (process, cache server)."""
    t.sql(f"""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20), team VARCHAR(20) DEFAULT 'none',
             credits INT NOT NULL DEFAULT 0, ver BIGINT UNSIGNED{more_columns}) CHARACTER SET utf8mb4""")
    server = Redis(t.dir).up()
    t.own.append(server)
    process = t.sluice(cache={"url": server.url}, tables={"users": {"invalidate": list(templates) or [TEAM], **dict(table)}}, **more)
    return process, server


def fill(server, *keys):
    server.client().mset({key: "old" for key in keys})


def left(server):
    return app_keys(server.client())


def outbox(t):
    return t.own_table("sluice_outbox")


def position(t, stream):
    row = t.ledger().get(stream)
    return row["position"] if row else None


def commit_without_cache(t, process, server, change, key=1):
    """The change is committed, its keys are not gone, and the process is dead."""
    before = position(t, t.stream(key))
    server.kill()
    change()
    wait_for("the commit", lambda: position(t, t.stream(key)) not in (None, before))
