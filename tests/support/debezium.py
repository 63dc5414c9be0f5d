"""
Debezium for real: a MariaDB with a row binlog, Kafka, and Kafka Connect (standalone) with Debezium's connector for
MariaDB, all private processes.  Where they can't be had the tests that need them are skipped, and the run says so.
"""
import json, os, urllib.error, urllib.request
from kafka import JAVA, Kafka, jars
from support import MariaDB, PASSWORD, Process, free_port, wait_for

BINLOG = ("--log-bin=b", "--binlog-format=ROW", "--binlog-row-image=FULL", "--binlog-row-metadata=FULL", "--server-id=223",
          "--character-set-server=utf8mb4", "--default-time-zone=+00:00")
# README's "Setting up a tool" names the ones that matter to sluice
SETTINGS = {
    "connector.class": "io.debezium.connector.mariadb.MariaDbConnector", "tasks.max": "1",
    "database.hostname": "127.0.0.1", "database.user": "debezium", "database.password": PASSWORD, "database.ssl.mode": "disable",
    "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory", "include.schema.changes": "false",
    "snapshot.locking.mode": "none", "skipped.operations": "none", "poll.interval.ms": "10",
    "enable.time.adjuster": "false",
    "topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"}


class Connect(Process):
    """Kafka Connect; its connectors are added over its REST port."""

    def __init__(self, directory, brokers, classes, plugins):
        self.dir, self.port = directory, free_port()
        os.makedirs(directory)
        properties = os.path.join(directory, "connect.properties")
        with open(properties, "w") as out:
            out.write(f"bootstrap.servers={brokers}\nplugin.path={plugins}\nplugin.discovery=service_load\n"
                      "key.converter=org.apache.kafka.connect.json.JsonConverter\n"
                      "value.converter=org.apache.kafka.connect.json.JsonConverter\n"
                      f"offset.storage.file.filename={directory}/offsets\noffset.flush.interval.ms=1000\n"
                      f"listeners=http://127.0.0.1:{self.port}\n")
        super().__init__([*JAVA, "-Xmx384m", "-cp", classes + "/*", "org.apache.kafka.connect.cli.ConnectStandalone", properties],
                         directory + "/log")

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def up(self):
        self.start()
        return self.ready()

    def ready(self):
        def listens():
            assert self.alive(), "Kafka Connect ended: " + self.tail()
            return self.ask("/connectors") is not None
        wait_for("Kafka Connect", listens, 90, 0.1)
        return self

    def tail(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-3000:]

    def add(self, name, mysql_port, **settings):
        """A connector, whose topics are NAME.DATABASE.TABLE; its settings with _ for the dots."""
        config = {**SETTINGS, "topic.prefix": name, "database.port": str(mysql_port), "database.server.id": str(7000 + len(name) + ord(name[-1])),
                  "schema.history.internal.file.filename": f"{self.dir}/{name}.history",
                  **{key.replace("_", "."): value for key, value in settings.items()}}
        try:
            self.ask(f"/connectors/{name}/config", config, "PUT")
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def running(self, *names):
        """Wait until they stream."""
        def state(name):
            told = self.ask(f"/connectors/{name}/status")
            failed = [task["trace"] for task in told["tasks"] if task["state"] == "FAILED"]
            assert not failed, failed[0][:3000]
            return [task["state"] for task in told["tasks"]] == ["RUNNING"]
        for name in names:
            wait_for(f"the connector {name}", lambda name=name: state(name), 60, 0.1)


class Debezium:
    """mysql: the source; kafka; connect.  Started side by side, since each takes seconds."""

    def __init__(self, directory):
        parts = [jars(part) for part in ("broker", "connect", "debezium")]
        self.kafka = Kafka(os.path.join(directory, "kafka"))
        self.connect = Connect(os.path.join(directory, "connect"), self.kafka.brokers, *parts[1:])
        self.mysql = MariaDB(directory, *BINLOG, name=None)
        self.connect.start()  # it waits for the broker
        self.kafka.up()
        self.mysql.up()
        self.mysql.sql(f"CREATE USER debezium@'%' IDENTIFIED BY '{PASSWORD}'")
        self.mysql.sql("GRANT SELECT, RELOAD, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR, LOCK TABLES "
                       "ON *.* TO debezium@'%'")

    def ready(self):
        self.connect.ready()
        return self

    def add(self, name, databases, **settings):
        """A connector of these databases."""
        self.connect.add(name, self.mysql.port, database_include_list=databases, **settings)
