"""Seen from outside: check, config, logs, pages, metrics, signals."""
import json, os, re, shutil, signal, socket, subprocess, tempfile, time
from support import ACL, BUILD, PASSWORD, Skip, equal, limit, wait_for

SMALL = """redis: { url: "redis://127.0.0.1:6379" }
mysql: { url: "mysql://app:${DB_PASSWORD}@127.0.0.1:3306/shop" }
http:  { listen: "127.0.0.1:9180" }
sources:
  - streams: "wb:users:{0..7}"
    table: users
  - streams: "wb:shop"
    tables: [orders, items]
tables:
  users: { version: ver, invalidate: ["user:{id}"] }
  orders: {}
  items: {}
"""


def test_the_canonical_file_is_right(t):
    code, out, err = t.command("check", t.write_text(SMALL), env={"DB_PASSWORD": PASSWORD})
    equal(code, 0, out + err)
    code, out, err = t.command("config", t.write_text(SMALL), env={"DB_PASSWORD": PASSWORD})
    equal(code, 0, err)
    assert PASSWORD not in out + err and "***" in out, out
    again = t.write_text(out, "again.yaml")
    code, twice, err = t.command("config", again)
    equal((code, twice), (0, out), "what `config` prints reads back as itself")


def test_check_reports_every_mistake_with_its_place(t):
    text = SMALL.replace("tables: [orders, items]", "tabels: [orders]").replace("9180", "99999") + "batch: { max_rows: many }\nbatch: {}\nworkers: 0\n"
    path = t.write_text(text)
    code, out, err = t.command("check", path, env={"DB_PASSWORD": "x"})
    equal(code, 78)
    said = out + err
    for line, word in ((3, "99999"), (8, "tabels"), (13, "many"), (14, "batch"), (15, "workers")):
        assert re.search(rf"{re.escape(os.path.basename(path))}:{line}:\d+: .*{word}", said), f"line {line}, {word}: {said}"
    equal(t.command("run", path)[0], 78, "run refuses it too")


def test_what_is_not_in_this_part_is_named(t):
    for old, new, word in (("redis://127", "rediss://127", "TLS"), ('"user:{id}"', '{ key: "user:{id}", mode: scan }', "scan"),
                           ("version: ver", "truncate: allow", "truncate")):
        code, out, err = t.command("check", t.write_text(SMALL.replace(old, new)), env={"DB_PASSWORD": "x"})
        equal(code, 78, new)
        assert word.lower() in (out + err).lower(), out + err


def test_variables_never_add_keys(t):
    text = SMALL.replace("${DB_PASSWORD}", "${HOSTILE}").replace("table: users\n", "table: ${TABLE:-users}\n", 1)
    code, out, err = t.command("config", t.write_text(text), env={"HOSTILE": 'x"}\nworkers: 7\n#\'{[: &*!'})
    if code == 0:
        assert "workers: 7" not in out, out
    assert t.command("check", t.write_text(SMALL), env={"DB_PASSWORD": ""})[0] in (0, 78)


def test_wrong_usage_exits_2(t):
    for words in ([], ["explode"], ["run"], ["check", "--nosuch"], ["lane", "explode"]):
        equal(t.command(*words)[0], 2, f"sluice {' '.join(words)}")
    code, out, _ = t.command("version")
    equal((code, bool(re.search(r"\d+\.\d+", out))), (0, True))


def test_check_connect_names_what_is_missing(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, name INT)")
    path = t.write_config(tables={"users": {"version": "ver", "columns": {"a": "nosuch"}}, "orders": {}},
                          sources=[{"streams": t.prefix + ":{0..1}", "tables": ["users", "orders"]}])
    code, out, err = t.command("check", "--connect", path)
    equal(code, 78, out + err)
    for word in ("orders", "ver", "nosuch"):
        assert word in out + err, f"{word}: {out + err}"
    t.sql("DROP TABLE users")
    t.users()
    code, out, err = t.command("check", "--connect", t.write_config())
    equal(code, 0, out + err)


def test_check_connect_names_the_grant_that_is_missing(t):
    t.users()
    t.mysql.sql("CREATE OR REPLACE USER poor@'%' IDENTIFIED BY 'poor'")
    t.mysql.sql(f"GRANT SELECT, INSERT ON {t.db}.* TO poor@'%'")
    path = t.write_config(mysql={"url": f"mysql://poor:poor@127.0.0.1:{t.mysql.port}/{t.db}"})
    code, out, err = t.command("check", "--connect", path)
    assert code == 78 and "GRANT" in out + err and "UPDATE" in out + err, (code, out + err)


def canonical(t, **more):
    """A users table with a CHECK, our own tables, and an account without any right."""
    t.users()
    t.sql("ALTER TABLE users ADD CHECK (credits < 1000000)")
    code, out, _ = t.command("schema")
    for statement in filter(None, (part.strip() for part in re.sub(r"^--.*$", "", out, flags=re.M).split(";\n"))):
        t.sql(statement.rstrip(";"))
    name = f"m{t.db}"[:30]
    t.mysql.sql(f"CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY 'minimal'")
    return name, t.write_config(mysql={"url": f"mysql://{name}:minimal@127.0.0.1:{t.mysql.port}/{t.db}"}, **more)


OWN_TABLES = ("sluice_ledger", "sluice_outbox", "sluice_dead_letter", "sluice_worker", "sluice_parked", "sluice_schema")


def test_each_missing_right_is_one_exact_grant(t):
    name, path = canonical(t)
    code, out, err = t.command("check", "--connect", path)
    equal(code, 78, "no right at all")
    grants = re.findall(r"GRANT .*;", err)
    equal(len(grants), 1 + len(OWN_TABLES), err)
    for grant in grants:
        t.mysql.sql(grant)
    t.mysql.sql(f"GRANT REFERENCES ON {t.db}.* TO {name}@'%'")
    code, out, err = t.command("check", "--connect", path)
    equal(code, 0, err)
    for table in ("users", "sluice_ledger"):
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            t.mysql.sql(f"REVOKE {right} ON {t.db}.{table} FROM {name}@'%'")
            code, out, err = t.command("check", "--connect", path)
            equal(code, 78, err)
            equal(re.findall(r"GRANT .*;", err), [f"GRANT {right} ON `{t.db}`.`{table}` TO '{name}'@'%';"])
            t.mysql.sql(f"GRANT {right} ON {t.db}.{table} TO {name}@'%'")


def test_constraints_that_the_account_cannot_see_are_a_missing_right(t):
    name, path = canonical(t)
    for table in ("users", *OWN_TABLES):
        t.mysql.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {t.db}.{table} TO {name}@'%'")
    code, out, err = t.command("check", "--connect", path)
    equal(code, 78, err)
    assert f"GRANT REFERENCES ON `{t.db}`.* TO '{name}'@'%';" in err, err
    off = t.write_config(mysql=t.config["mysql"], tables={"users": {"fold": False}})
    equal(t.command("check", "--connect", off)[0], 0, "without folding nothing has to be seen")


def test_a_login_that_is_refused_is_a_mistake_and_no_outage(t):
    t.users()
    for url in (f"mysql://app:wrong@127.0.0.1:{t.mysql.port}/{t.db}", t.mysql.url("nowhere")):
        code, out, err = t.command("check", "--connect", t.write_config(mysql={"url": url}))
        equal(code, 78, err)
        assert "wrong" not in err, err
    for url in (f"redis://nobody:wrong@127.0.0.1:{t.redis_server.port}", f"redis://nobody@127.0.0.1:{t.redis_server.port}"):
        code, out, err = t.command("check", "--connect", t.write_config(redis={"url": url}))
        equal(code, 78, err)
        assert "WRONGPASS" in err, err


COMMANDS = [word for word in ACL if word[0] == "+"]


def test_the_minimal_rights_are_enough_and_what_lacks_is_named(t):
    server = t.own_redis()
    t.redis.execute_command("ACL", "SETUSER", "small", "on", ">p@:/%#?", "-@all", f"~{t.prefix}:*", "~sluice:*", "~user:*", *COMMANDS)
    name, path = canonical(t, redis={"url": f"redis://small:p%40%3A%2F%25%23%3F@127.0.0.1:{server.port}"},
                           tables={"users": {"invalidate": ["user:{id}"]}})
    for table in ("users", *OWN_TABLES):
        t.mysql.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {t.db}.{table} TO {name}@'%'")
    t.mysql.sql(f"GRANT REFERENCES ON {t.db}.* TO {name}@'%'")
    code, out, err = t.command("check", "--connect", path)
    equal(code, 0, err)
    process = t.sluice(path)
    for key in range(50):
        t.redis.set(f"user:{key}", "old")
        t.user(key, name="a")
    t.user(1, nosuch=1)
    t.settle()
    wait_for("deleted", lambda: not t.redis.exists("user:7"))
    t.redis.delete(*t.streams())
    wait_for("the gap", lambda: process.status()["totals"]["alarms"] > 0)
    t.user(3, name="b")
    t.settle()
    equal(t.redis.execute_command("ACL", "LOG"), [], "a denied command")
    equal(process.stop(), 0)
    for rule, code in (("xread", 78), ("unlink", 78), ("xsetid", 0), ("memory|usage", 0), ("get", 0)):
        t.redis.execute_command("ACL", "SETUSER", "small", "-" + rule)
        got, out, err = t.command("check", "--connect", path)
        equal(got, code, err)
        equal(err.count(f"ACL SETUSER small +{rule}"), 1, err)
        t.redis.execute_command("ACL", "SETUSER", "small", "+" + rule)
    t.redis.execute_command("ACL", "SETUSER", "keeper", "on", ">k", "-@all", "~other:*", "+ping", "+unlink")
    code, out, err = t.command("check", "--connect", t.write_config(
        redis={"url": server.url}, cache={"url": f"redis://keeper:k@127.0.0.1:{server.port}"}, tables={"users": {"invalidate": ["user:{id}"]}}))
    assert code == 78 and "ACL SETUSER keeper ~user:*" in err, err
    t.redis.execute_command("ACL", "SETUSER", "small", "resetkeys", f"~{t.prefix}:*", "~sluice:*")
    code, out, err = t.command("check", "--connect", path)
    assert code == 78 and "ACL SETUSER small ~user:*" in err, err


def test_check_connect_exits_69_when_a_server_is_away(t):
    t.users()
    for more in ({"redis": {"url": "redis://127.0.0.1:1"}}, {"mysql": {"url": "mysql://app:x@127.0.0.1:1/shop"}}):
        code, out, err = t.command("check", "--connect", t.write_config(**more))
        equal(code, 69, out + err)


def test_schema_prints_what_makes_our_tables(t):
    code, out, err = t.command("schema")
    equal(code, 0, err)
    for statement in filter(None, (part.strip() for part in re.sub(r"^--.*$", "", out, flags=re.M).split(";\n"))):
        t.sql(statement.rstrip(";"))
    t.users()
    t.mysql.sql("CREATE OR REPLACE USER small@'%' IDENTIFIED BY 'small'")
    t.mysql.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {t.db}.* TO small@'%'")
    t.sluice(mysql={"url": f"mysql://small:small@127.0.0.1:{t.mysql.port}/{t.db}"})
    t.user(1, name="a")
    t.settle()
    equal(t.row("SELECT name FROM users"), ("a",))


def test_pages_and_probe_follow_the_state(t):
    t.own_mysql()
    t.users()
    process = t.sluice(ready_requires=["mysql"])
    t.user(1, name="a")
    t.settle()
    wait_for("ready", lambda: process.get("/readyz")[0] == 200)
    equal([process.get(page)[0] for page in ("/livez", "/healthz", "/metrics", "/status", "/nosuch")], [200, 200, 200, 200, 404])
    at = process.port()
    path = t.write_config(http={"listen": f"127.0.0.1:{at}"}, ready_requires=["mysql"])
    probe = lambda what: t.command("status", path, "--probe", what)[0]
    equal((probe("live"), probe("ready")), (0, 0))
    code, out, err = t.command("status", path)
    assert code == 0 and t.stream() in out, out + err
    t.mysql.kill()
    t.user(1, name="b")
    wait_for("not ready", lambda: process.get("/readyz")[0] == 503)
    wait_for("not healthy", lambda: process.get("/healthz")[0] == 503 and "mysql" in process.get("/healthz")[1])
    equal((process.get("/livez")[0], probe("live")), (200, 0))
    assert probe("ready") != 0
    process.kill()
    assert probe("live") != 0


def test_metrics_are_there_from_the_start_and_follow(t):
    t.users()
    process = t.sluice()
    before = process.metrics()
    t.user(1, name="a"), t.user(1, name="b"), t.user(1, nosuch=1)
    t.settle()
    wait_for("counted", lambda: process.metric("sluice_entries_total") == 3)
    after = process.metrics()
    equal(sorted(before), sorted(after), "series appeared later")
    equal(process.metric("sluice_dead_letters_total", reason="unknown_column"), 1)
    equal(process.metric("sluice_dependency_up"), 3)


def promtool():
    """The path of promtool; fetched once under build/ where apt can."""
    found = shutil.which("promtool") or os.path.join(BUILD, "run", "prometheus", "usr", "bin", "promtool")
    if os.path.exists(found):
        return found
    directory = os.path.join(BUILD, "run", "prometheus")
    with tempfile.TemporaryDirectory(dir=os.path.join(BUILD, "run")) as work:
        got = subprocess.run(["apt-get", "-q", "download", "prometheus"], cwd=work, capture_output=True)
        packages = os.listdir(work)
        if got.returncode != 0 or not packages:
            raise Skip("no promtool: apt-get download prometheus failed")
        subprocess.run(["dpkg", "-x", os.path.join(work, packages[0]), directory], check=True)
    return found


@limit(120)
def test_promtool_finds_nothing_wrong_with_the_metrics(t):
    tool = promtool()
    t.users()
    process = t.sluice()
    t.user(1, name="a"), t.user(2, nosuch=1)
    t.settle()
    done = subprocess.run([tool, "check", "metrics"], input=process.get("/metrics")[1].encode(), capture_output=True)
    equal((done.returncode, done.stdout + done.stderr), (0, b""))


def test_logs_hold_no_value_and_no_secret(t):
    secret = "s3cret-value-"
    t.own_mysql()
    t.users()
    t.sql("ALTER TABLE users ADD UNIQUE (email)")
    process = t.sluice(log={"level": "debug"}, tables={"users": {"invalidate": ["user:{id}"]}})
    t.user(1, email=secret + "a"), t.user(2, email=secret + "a")
    t.user(3, credits=secret), t.user(4, name=secret * 20), t.redis.xadd(t.stream(), {"id": secret, "name": "x"})
    t.user(5, **{secret + "column": 1})
    t.settle()
    t.mysql.kill()
    t.user(6, name=secret)
    time.sleep(1)
    t.mysql.up()
    t.settle()
    said = process.text() + process.get("/status")[1] + process.get("/healthz")[1] + process.get("/metrics")[1]
    for word in (PASSWORD, secret + "a", secret * 2, "'" + secret):
        assert word not in said, next(line for line in said.splitlines() if word in line)
    equal(len(t.dead()), 5)
    for letter in t.dead():
        assert secret + "a" not in letter["message"] and secret * 2 not in letter["message"], letter["message"]


def test_log_lines_are_one_event_each(t):
    t.users()
    for form in ("logfmt", "json"):
        process = t.sluice(log={"format": form})
        t.user(1, nosuch="a\nb")
        t.settle()
        process.stop()
        for line in process.text().splitlines():
            if form == "json":
                assert {"time", "level", "event"} <= set(json.loads(line)), line
            else:
                assert re.match(r"time=\S+Z level=\w+ event=\w+( \w+=(\"(\\.|[^\"\\])*\"|[^ \"]*))*$", line), line


def test_repeated_events_do_not_flood_the_log(t):
    t.users()
    process = t.sluice(poison_rate=0)
    t.add_many((t.stream(key), {"id": key, "nosuch": 1}) for key in range(3000))
    t.settle()
    equal(len(t.dead()), 3000)
    assert len(process.text().splitlines()) < 500, len(process.text().splitlines())


def test_secrets_may_come_from_files_and_change(t):
    t.own_mysql()
    t.users()
    t.mysql.sql("CREATE USER filed@'%' IDENTIFIED BY 'first'")
    t.mysql.sql(f"GRANT ALL ON {t.db}.* TO filed@'%'")
    secret = t.write_text("first\n", "secret")
    t.sluice(mysql={"url": None, "host": "127.0.0.1", "port": t.mysql.port, "user": "filed", "password": "${file:%s}" % secret, "database": t.db})
    t.user(1, name="a")
    t.settle()
    t.mysql.sql("ALTER USER filed@'%' IDENTIFIED BY 'second'")
    t.write_text("second\n", "secret")
    for (session,) in t.mysql.sql("SELECT id FROM information_schema.processlist WHERE user = 'filed'"):
        t.mysql.sql(f"KILL {session}")
    t.user(1, name="b")
    t.settle()
    equal(t.row("SELECT name FROM users"), ("b",))


def test_a_secret_that_cannot_be_read_any_more_is_named(t):
    t.users()
    secret = t.write_text("first\n", "secret")
    process = t.sluice(mysql={"url": None, "host": "127.0.0.1", "port": t.mysql.port, "user": f"u{t.db}"[:30], "password": "${file:%s}" % secret, "database": t.db})
    process.logged("store_unreachable")
    os.unlink(secret)
    assert secret in process.logged("secret_unreadable")


def test_lane_list_shows_every_lane(t):
    t.users()
    process = t.sluice()
    t.user(1, name="a"), t.user(2, name="a")
    t.settle()
    code, out, err = t.command("lane", "list", process.argv[-1])
    equal(code, 0, err)
    for lane in t.streams():
        assert f"default/redis/{lane}" in out, out
    assert process.alive()


def test_bad_tables_are_refused_by_name(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, name INT) ENGINE=MyISAM")
    t.sql("CREATE TABLE nokey (id INT)")
    t.sql("CREATE VIEW seen AS SELECT * FROM users")
    path = t.write_config(tables={"users": {}, "nokey": {}, "seen": {}}, sources=[{"streams": t.prefix, "tables": ["users", "nokey", "seen"]}])
    code, out, err = t.command("check", "--connect", path)
    equal(code, 78, out + err)
    for word in ("MyISAM", "nokey", "seen"):
        assert word in out + err, f"{word}: {out + err}"


def test_a_log_that_may_not_grow_stops_nothing(t):
    t.users()
    process = t.sluice(start=False)
    process.argv = ["bash", "-c", 'ulimit -f 0 && exec "$@"', "sluice", *process.argv]
    process.start()
    t.user(1, name="written")
    wait_for("the row", lambda: t.row("SELECT name FROM users") == ("written",))
    equal(process.stop(), 0)


def test_closed_standard_files_are_no_connections(t):
    t.users()
    process = t.sluice(start=False, log={"level": "debug"})
    process.argv = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *process.argv]
    process.start()
    t.user(1, name="a"), t.user(1, nosuch=1)
    t.settle()
    equal([os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
    equal(process.stop(), 0)


def test_warnings_of_the_configuration_are_log_lines(t):
    t.users()
    process = t.sluice(log={"format": "json"}, tables={"users": {"invalidate": ["one-key"]}})
    process.port()
    lines = [json.loads(line) for line in process.text().splitlines()]
    assert any(line["event"] == "config_warning" and "one-key" in line["error"] for line in lines), lines


def test_slow_clients_keep_no_probe_out(t):
    t.users()
    process = t.sluice()
    at = process.port()
    held = []
    for _ in range(150):
        client = socket.create_connection(("127.0.0.1", at), timeout=10)
        client.sendall(b"GET /livez HTTP/1.1\r\nHost:")
        held.append(client)
    started = time.monotonic()
    equal(process.get("/livez")[0], 200)
    assert time.monotonic() - started < 9, "it waited for them"
    for client in held:
        client.close()


def test_a_stop_with_every_server_away_is_not_called_finished(t):
    process = t.sluice(redis={"url": "redis://127.0.0.1:1"}, mysql={"url": "mysql://app:x@127.0.0.1:1/shop"})
    wait_for("mysql is seen to be away", lambda: "mysql" in process.get("/healthz")[1] and process.get("/healthz")[0] == 503)
    equal(process.stop(), 75)
    assert process.events("backlog_unknown"), process.text()


def test_the_last_flood_of_the_log_is_counted_at_the_end(t):
    t.users()
    process = t.sluice(poison_rate=0)
    t.add_many((t.stream(key), {"id": key, "nosuch": 1}) for key in range(300))
    t.settle()
    equal(process.stop(), 0)
    told = [int(re.search(r'suppressed="?(\d+)', line).group(1)) for line in process.text().splitlines() if "suppressed=" in line]
    written = len(process.events("dead_letter"))
    equal(written + sum(told), 300, process.text()[-2000:])


def test_frozen_servers_do_not_hold_up_the_end(t):
    server, mysql = t.own_redis(), t.own_mysql()
    t.users()
    patient = {"redis": {"url": server.url, "timeout": "1m", "connect_timeout": "1m"}, "shutdown_timeout": "1s"}
    for frozen in ((server,), (server, mysql)):
        for signals in (1, 2):
            process = t.sluice(**patient)
            t.user(1, name="a")
            t.settle()
            for one in frozen:
                one.signal(signal.SIGSTOP)
            time.sleep(1)
            for _ in range(signals):
                process.signal(signal.SIGTERM)
                time.sleep(0.2)
            code = process.wait(10)
            assert code in (0, 75), code
            for one in frozen:
                one.signal(signal.SIGCONT)
