"""
What deploy/ brings for Prometheus and Grafana: the rules do what they say, and every name in a query is a metric that a
running sluice has.
"""
import json, os, re, subprocess
from support import SLUICE, TOP, Skip, equal
import yaml

DEPLOY = os.path.join(TOP, "deploy")


def promtool():
    got = subprocess.run([os.path.join(TOP, "tests/support/promtool")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if got.returncode != 0:
        raise Skip(got.stderr.strip() or "no promtool")
    return got.stdout.split()[-1]


def rules():
    with open(os.path.join(DEPLOY, "prometheus-rules.yaml"), encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def test_the_alert_rules_do_what_they_say(t):
    tool = promtool()
    for words in (["check", "rules", "prometheus-rules.yaml"], ["test", "rules", "prometheus-rules-test.yaml"]):
        done = subprocess.run([tool, *words], cwd=DEPLOY, capture_output=True, text=True)
        equal(done.returncode, 0, done.stdout + done.stderr)
    with open(os.path.join(DEPLOY, "prometheus-rules-test.yaml"), encoding="utf-8") as file:
        tests = file.read()
    for rule in rules():
        assert rule["alert"] in tests, f"{rule['alert']} has no test"


def test_every_metric_of_the_board_and_the_rules_exists(t):
    t.users()
    there = {re.sub(r"\{.*", "", name) for name in t.sluice().metrics()}
    with open(os.path.join(DEPLOY, "grafana-board.json"), encoding="utf-8") as file:
        board = json.load(file)
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [rule["expr"] for rule in rules()]
    assert len(queries) > 30
    for query in queries:
        names = re.findall(r"\b(?:sluice|process)_\w+", query)
        for name in names:
            assert name in there, f"{name} in {query!r}"
        assert names or "up{" in query, query


def test_the_board_s_queries_can_be_parsed(t):
    tool = promtool()
    with open(os.path.join(DEPLOY, "grafana-board.json"), encoding="utf-8") as file:
        board = json.load(file)
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    path = t.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": [
        {"record": f"board:{i}", "expr": q.replace("$__rate_interval", "5m").replace("$job", "sluice")} for i, q in enumerate(queries)]}]}), "board.yaml")
    done = subprocess.run([tool, "check", "rules", path], capture_output=True, text=True)
    equal(done.returncode, 0, done.stdout + done.stderr)


def test_the_man_page_names_every_command_and_option(t):
    with open(os.path.join(DEPLOY, "sluice.1"), encoding="utf-8") as file:
        man = file.read().replace("\\-", "-")
    sluice = lambda *words: subprocess.run([SLUICE, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  sluice (\S+)", sluice("help"), re.M)
    assert "run" in commands
    for command in commands:
        usage = sluice("help", command)
        for words in re.findall(rf"sluice ({command}(?: (?!FILE)[a-z]+)?)", usage):
            assert f".B sluice {words}\n" in man, f"{words} is not in the man page"
        for option in re.findall(r"--[a-z-]+", usage):
            assert re.search(rf"{option}(?![a-z-])", man), f"{option} of {command} is not in the man page"
