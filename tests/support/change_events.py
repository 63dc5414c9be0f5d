"""Change events as the tools write them, for tests."""
import json

ITEMS = """CREATE TABLE items (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(64), code VARCHAR(64) UNIQUE, n INT NOT NULL DEFAULT 0,
           ver BIGINT NULL) CHARACTER SET utf8mb4"""


def events(t, fmt, *tables, **more):
    """A sluice that reads one stream of this format; `more` is merged into the source, `config` over all."""
    config = more.pop("config", {})
    stream = f"{t.prefix}:cdc"
    source = {"streams": stream, "format": fmt, "write": True, "tables": list(tables) or ["items"], **more}
    settings = {"sources": [source], "tables": {name.rpartition(".")[2]: {} for name in source["tables"]}}
    settings["tables"].update(config.pop("tables", {}))
    t.sluice(**settings, **config)
    return stream


# --- what the tools write

def debezium(table, op, before=None, after=None, db="shop", snapshot="false", schema=None):
    event = {"before": before, "after": after, "op": op, "ts_ms": 1, "source": {"db": db, "table": table, "snapshot": snapshot}}
    return json.dumps({"schema": schema, "payload": event} if schema else event)


def compact(t, stream, key, value):
    return t.redis.xadd(stream, {json.dumps(key) if key is not None else "default": value})


def extended(t, stream, key, value, **headers):
    return t.redis.xadd(stream, {"key": json.dumps(key), "value": value, **headers})


def maxwell(table, kind, data, old=None, db="shop"):
    return json.dumps({"database": db, "table": table, "type": kind, "ts": 1, "data": data, **({"old": old} if old is not None else {})})


def canal(table, kind, rows, old=None, db="shop"):
    text = lambda row: {k: None if v is None else str(v) for k, v in row.items()}
    return json.dumps({"database": db, "table": table, "type": kind, "isDdl": False, "pkNames": ["id"], "data": [text(r) for r in rows],
                       "old": [text(r) for r in old] if old else None})


def dms(table, kind, data, before=None, db="shop"):
    return json.dumps({"data": {k: v for k, v in data.items() if v not in (None, "")}, **({"before-image": before} if before else {}),
                       "metadata": {"record-type": "data", "operation": kind, "schema-name": db, "table-name": table}})
