"""The examples under deploy/examples run as they stand: each with its configuration, its tables and its app."""
import importlib.util, json, os
from cache_functions import SOURCE
from support import PASSWORD, TOP, Sluice, equal, wait_for

EXAMPLES = os.path.join(TOP, "deploy", "examples")


def example(t, name, patterns, **env):
    """(app, sluice) of an example, on a Redis of its own."""
    where = os.path.join(EXAMPLES, name)
    t.own_redis(durable=True)
    for pattern in patterns:
        t.redis_server.allow(pattern)
    t.redis.function_load(SOURCE, replace=True)
    with open(os.path.join(where, "schema.sql"), encoding="utf-8") as file:
        for statement in file.read().split(";\n"):
            if statement.strip():
                t.sql(statement)
    path = os.path.join(where, "sluice.yaml")
    env = {"REDIS_URL": t.redis_server.url, "MYSQL_URL": t.mysql.url(t.db), "LISTEN": "127.0.0.1:0", **env}
    code, _, err = t.command("check", path, "--connect", env=env)
    equal(code, 0, err)
    sluice = t.sluice(path, env)
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{t.redis_server.port}"
    os.environ["MYSQL"] = json.dumps({"host": "127.0.0.1", "port": t.mysql.port, "user": "app", "password": PASSWORD, "database": t.db})
    spec = importlib.util.spec_from_file_location("app_" + name, os.path.join(where, "app.py"))
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    wait_for("the refresher", lambda: sluice.status()["refresh"]["members"] >= 1)
    return app, sluice


def test_sessions_are_written_behind_and_all_of_a_user_end_at_once(t):
    app, _ = example(t, "sessions", ["session:*", "sessions:*"])
    mine, other = [app.begin(7, f"cart {n}") for n in range(3)], app.begin(8, "x")
    equal(app.read(mine[0]), {"account_id": 7, "data": "cart 0"})
    wait_for("they are written", lambda: t.row("SELECT COUNT(*) FROM sessions")[0] == 4)
    app.cache.delete("session:" + mine[1])  # as an eviction does
    equal(app.read(mine[1]), {"account_id": 7, "data": "cart 1"})
    app.end_all(7)
    wait_for("all of them end", lambda: [app.read(token) for token in mine] == [None, None, None])
    equal(app.read(other), {"account_id": 8, "data": "x"})


def test_an_inventory_counts_exactly_and_its_items_follow(t):
    app, _ = example(t, "inventory", ["item:*", "reads"])
    app.stock_up(1, "chair", 100)
    wait_for("it is there", lambda: app.read(1))
    for _ in range(40):
        app.order(1)
    app.order(1, 61)  # more than there are
    wait_for("the orders", lambda: t.row("SELECT stock FROM items WHERE id = 1")[0] == 60)
    wait_for("readers see it", lambda: app.read(1) == {"id": 1, "name": "chair", "stock": 60})
    wait_for("the one too many", lambda: t.reasons() == ["out_of_range"])


def test_article_pages_with_many_views_are_warm_and_stay_new(t):
    app, sluice = example(t, "articles", ["article:*"], WARM_EVERY="1s")
    app.edit(1, 1, title="one", body="text")
    app.edit(2, 1, title="two", body="text")
    wait_for("an article", lambda: app.view(2))
    equal(app.view(2), {"id": 2, "title": "two", "body": "text"})
    equal(app.view(3), None)
    app.cache.xadd("wb:views", {"_op": "incr", "article_id": 1, "views": 5000})
    wait_for("it is warm before anybody read it", lambda: app.cache.hget("article:1", "p"))
    equal(json.loads(app.cache.hget("article:1", "p")), {"id": 1, "title": "one", "body": "text"})
    app.edit(1, 2, title="one, again")
    wait_for("it was loaded again", lambda: json.loads(app.cache.hget("article:1", "p") or "{}").get("title") == "one, again")
    wait_for("views are counted", lambda: t.row("SELECT views FROM views WHERE article_id = 2")[0] >= 2)


def test_users_read_aside_and_written_through_are_never_old(t):
    app, _ = example(t, "users", ["user:*"])
    equal(app.read(5), None)
    for n in range(30):
        app.write(5, f"name {n}")
        equal(app.read(5)["name"], f"name {n}")
    t.config = {"sources": [{"streams": "wb:users:{0..3}"}]}
    t.settle()
    equal(app.read(5), {"id": 5, "name": "name 29", "ver": 30})
    assert app.cache.fcall("sluice_fill", 1, "user:5", "1", 29, "old", 1000) != "OK"
