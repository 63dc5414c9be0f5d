"""
The real store on a real server, without the rest of sluice: store_check.c, one process a check.  Its checks
appear here under their own names.
"""
import base64, json, subprocess

from support import PASSWORD, build_program, equal

ROWS = "CREATE TABLE IF NOT EXISTS `rows` (id BIGINT UNSIGNED PRIMARY KEY) ENGINE=InnoDB"


PROGRAM = build_program("store_check", "store_rig", "store_batch", "store_lanes")


def start(t, check, user="app", password=PASSWORD):
    return subprocess.Popen([PROGRAM, str(t.mysql.port), user, password, t.db, check],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(t, check, **account):
    """(exit code, output)"""
    process = start(t, check, **account)
    output = process.communicate(timeout=150)[0]
    return process.returncode, output


def passes(t, check, **account):
    t.sql(ROWS)
    code, output = run(t, check, **account)
    assert code == 0, f"{check}: exit {code}: {output}"
    return output


def refused(t, *words, **account):
    code, output = run(t, "opens", **account)
    assert code == 1 and all(word in output for word in words), f"exit {code}: {output}"


def account(t, rights):
    """An account that has these rights only."""
    name = "u" + t.db[-30:]
    t.mysql.sql(f"DROP USER IF EXISTS {name}")
    t.mysql.sql(f"CREATE USER {name} IDENTIFIED BY 'pw'")
    for right in rights:
        t.mysql.sql(f"GRANT {right} TO {name}")
    return {"user": name, "password": "pw"}


def by_itself(check):
    return lambda t: passes(t, check)


# these need something from here, below
WITH_HELP = {"a_letter_larger_than_a_statement_comes_in_chunks", "a_read_only_server_is_left", "opens"}
for name in subprocess.run([PROGRAM, "0", "", "", "", "list"], check=True, capture_output=True, text=True).stdout.split():
    if name not in WITH_HELP:
        globals()["test_" + name] = by_itself(name)


def test_a_letter_larger_than_a_statement_comes_in_chunks(t):
    passes(t, "a_letter_larger_than_a_statement_comes_in_chunks")
    rows = t.sql("SELECT entry, chunk, chunks, payload, table_name, operation, reason, message FROM sluice_dead_letter ORDER BY id")
    large = [row for row in rows if row[0] == "1-0"]
    assert len(large) > 10, len(large)
    equal([row[1] for row in large], list(range(len(large))))
    equal({row[2] for row in large}, {len(large)})
    equal(set(row[4:] for row in large), {("hostile'); DROP TABLE users; --", "incr", "bad_value", "café")})
    payload = json.loads(b"".join(row[3] for row in large))
    equal(base64.b64decode(payload[0][1]["base64"]), bytes(ord("'") if i % 3 == 0 else i % 251 for i in range(100000)))
    equal([(row[1], row[2], row[3], row[7]) for row in rows if row[0] == "1-1"], [(0, 1, b"[]", "(not UTF-8)")])


def test_a_read_only_server_is_left(t):
    t.own_mysql()
    who = account(t, [f"ALL ON {t.db}.*"])
    t.sql(ROWS)
    process = start(t, "a_read_only_server_is_left", **who)
    equal(process.stdout.readline(), "ready\n")
    t.mysql.sql("SET GLOBAL read_only = 1")
    output = process.communicate("\n", timeout=150)[0]
    equal(process.returncode, 0, output)


def test_a_server_with_hostile_defaults_changes_nothing(t):
    t.own_mysql("--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT", "--transaction-isolation=SERIALIZABLE",
                "--completion-type=CHAIN", "--autocommit=0", "--lc-messages=de_DE", "--default-time-zone=+05:00",
                "--character-set-server=latin1", "--wait-timeout=1")
    for check in ("a_batch_moves_its_lanes_and_commits_its_rows", "one_lane_elsewhere_and_nothing_is_written",
                  "a_refused_entry_is_a_letter_in_the_same_transaction", "an_order_is_taken_once"):
        t.mysql.sql(f"DROP DATABASE {t.db}")
        t.mysql.sql(f"CREATE DATABASE {t.db}")
        passes(t, check)


def test_tables_that_may_not_be_created_are_named(t):
    t.drop_own_tables()
    who = account(t, [f"SELECT, INSERT, UPDATE, DELETE ON {t.db}.*"])
    refused(t, "class fatal", "sluice schema", "may not create", **who)


def test_tables_made_by_somebody_else_are_enough(t):
    t.drop_own_tables()
    passes(t, "opens")
    tables = ["sluice_ledger", "sluice_outbox", "sluice_dead_letter", "sluice_worker", "sluice_parked", "sluice_schema"]
    who = account(t, [f"SELECT, INSERT, UPDATE, DELETE ON {t.db}.{table}" for table in tables])
    passes(t, "opens", **who)


def test_a_missing_table_is_made_again(t):
    passes(t, "opens")
    t.sql("DROP TABLE sluice_outbox, sluice_dead_letter")
    passes(t, "opens")
    equal(t.sql("SELECT COUNT(*) FROM sluice_dead_letter"), ((0,),))


def test_tables_two_versions_newer_are_refused(t):
    passes(t, "opens")
    t.sql("INSERT INTO sluice_schema VALUES (4, NOW())")
    passes(t, "opens")
    t.sql("INSERT INTO sluice_schema VALUES (5, NOW())")
    refused(t, "class fatal", "newer sluice")


VERSION_1 = """
CREATE TABLE sluice_ledger (lane VARBINARY(255) PRIMARY KEY, epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
  position VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, done VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  checkpoints TEXT CHARACTER SET ascii NULL, source_identity VARCHAR(64) NOT NULL DEFAULT '', lanes_of_source INT UNSIGNED NOT NULL DEFAULT 0,
  owner VARCHAR(190) NOT NULL DEFAULT '', halted VARCHAR(32) NOT NULL DEFAULT '', alarm VARCHAR(32) NOT NULL DEFAULT '',
  command VARCHAR(64) NOT NULL DEFAULT '', updated_at DATETIME(3) NOT NULL);
CREATE TABLE sluice_outbox (lane VARBINARY(255) NOT NULL, position VARCHAR(48) NOT NULL, cache_keys LONGBLOB NOT NULL,
  versions LONGBLOB NULL, PRIMARY KEY (lane, position));
CREATE TABLE sluice_dead_letter (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, lane VARBINARY(255) NOT NULL,
  entry VARCHAR(48) NOT NULL, chunk INT UNSIGNED NOT NULL DEFAULT 0, chunks INT UNSIGNED NOT NULL DEFAULT 1, table_name VARCHAR(64) NULL,
  operation VARCHAR(16) NOT NULL DEFAULT '', reason VARCHAR(32) NOT NULL, code INT NOT NULL DEFAULT 0, message VARCHAR(512) NOT NULL DEFAULT '',
  payload LONGBLOB NOT NULL, state VARCHAR(16) NOT NULL DEFAULT 'dead', created_at DATETIME(3) NOT NULL,
  KEY lane_entry (lane, entry), KEY reason (reason));
CREATE TABLE sluice_worker (member VARBINARY(190) PRIMARY KEY, pool VARCHAR(64) NOT NULL DEFAULT '', beat_at DATETIME(3) NOT NULL);
CREATE TABLE sluice_schema (version INT UNSIGNED PRIMARY KEY, created_at DATETIME(3) NOT NULL);
INSERT INTO sluice_schema VALUES (1, NOW());
INSERT INTO sluice_dead_letter (lane, entry, reason, payload, created_at) VALUES ('l', '1-0', 'no_key', '[]', NOW())
"""


def make_version_1(t):
    t.drop_own_tables()
    for statement in VERSION_1.strip().split(";\n"):
        t.sql(statement)


def test_tables_of_the_version_before_are_added_to(t):
    make_version_1(t)
    passes(t, "opens")
    equal(t.sql("SELECT MAX(version) FROM sluice_schema"), ((3,),))
    equal(t.sql("SELECT lane, letter, major, minor, part FROM sluice_outbox"), ())
    equal(t.sql("SELECT attempts, state, updated_at FROM sluice_dead_letter"), ((0, "dead", None),))
    equal(t.sql("SELECT session_lock, slot, lanes, joined_at FROM sluice_worker"), ())
    passes(t, "opens")


def test_an_outbox_of_version_2_is_made_anew(t):
    """Nobody wrote into it then."""
    passes(t, "opens")
    t.sql("DROP TABLE sluice_outbox")
    t.sql(VERSION_1.strip().split(";\n")[1])
    t.sql("UPDATE sluice_schema SET version = 2")
    passes(t, "opens")
    equal(t.sql("SELECT MAX(version) FROM sluice_schema"), ((3,),))
    key = t.sql("SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics"
                " WHERE table_schema = DATABASE() AND table_name = 'sluice_outbox' AND index_name = 'PRIMARY'")
    equal(key, (("lane,letter,major,minor,part",),))


def test_tables_of_the_version_before_that_may_not_be_changed_are_named(t):
    make_version_1(t)
    who = account(t, [f"SELECT, INSERT, UPDATE, DELETE ON {t.db}.*"])
    refused(t, "class fatal", "sluice schema", "may not", **who)
