"""
A real Apache Kafka (KRaft, one node) as a private process, and the sluice that reads it.  Where it can't be had the
tests that need it are skipped, and the run says so.
"""
import json, os, subprocess
from support import BUILD, PASSWORD, Process, Skip, TOP, free_port, merge, wait_for

TOOL = os.path.join(BUILD, os.environ.get("VARIANT") or "release", "kafka_tool")
JAVA = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
WHAT = {"broker": "broker", "tools": "kafka-consumer-groups.sh"}
# a member that is killed is missed within seconds
QUICK = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "500", "topic.metadata.refresh.interval.ms": "1000"}


def jars(part="broker"):
    got = subprocess.run([os.path.join(TOP, "tests/support/kafka_jars"), part], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if got.returncode != 0:
        reason = got.stderr.strip().splitlines()[-1] if got.stderr.strip() else "no Kafka"
        print(f"NOTE kafka: {reason}; nothing of this is tested on a real {WHAT.get(part, 'Debezium')}", flush=True)
        raise Skip(reason)
    return got.stdout.strip()


class Kafka(Process):
    """secure: listeners with TLS and SASL besides, by which alice may do anything, and bob what he is allowed."""

    def __init__(self, directory, secure=False):
        self.dir = directory
        self.ports = [free_port() for _ in range(5)]
        os.makedirs(self.dir)
        self.jars = jars()
        self.brokers = f"127.0.0.1:{self.ports[0]}"
        self.properties = os.path.join(self.dir, "server.properties")
        with open(self.properties, "w") as out:
            out.write(self.settings(secure))
        subprocess.run([*JAVA, "-cp", self.jars + "/*", "kafka.tools.StorageTool", "format", "-t", "sluiceAAAAAAAAAAAAAAAA",
                        "-c", self.properties, "--add-scram", f"SCRAM-SHA-256=[name=alice,password={PASSWORD}]"],
                       check=True, stdin=subprocess.DEVNULL, capture_output=True)
        super().__init__([*JAVA, "-Xmx384m", "-cp", self.jars + "/*", "kafka.Kafka", self.properties], self.dir + "/log")

    def settings(self, secure):
        plain, control, ssl, sasl, both = self.ports
        listeners = f"PLAINTEXT://127.0.0.1:{plain}"
        more = ""
        if secure:
            listeners += f",SSL://127.0.0.1:{ssl},SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{both}"
            more = ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
                    "super.users=User:ANONYMOUS;User:alice\n"
                    f"ssl.keystore.type=PEM\nssl.keystore.location={self.certificates()}\nsasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n")
            for name in "sasl_plaintext", "sasl_ssl":
                more += (f"listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
                         f"user_alice=\"{PASSWORD}\" user_bob=\"{PASSWORD}\";\n"
                         f"listener.name.{name}.scram-sha-256.sasl.jaas.config="
                         "org.apache.kafka.common.security.scram.ScramLoginModule required;\n")
        return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{control}
advertised.listeners={listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={self.dir}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=10485760
log.retention.hours=-1
{more}"""

    def certificates(self):
        """A CA (ca.crt) and the server's key with its chain."""
        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=self.dir, check=True, capture_output=True)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.crt")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
        with open(self.dir + "/names", "w") as out:
            out.write("subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-out", "server.crt", "-extfile", "names")
        with open(self.dir + "/server.pem", "w") as out:
            for name in "server.key", "server.crt", "ca.crt":
                with open(f"{self.dir}/{name}") as part:
                    out.write(part.read())
        return self.dir + "/server.pem"

    def up(self):
        start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.start()

        def started():
            assert self.alive(), "kafka ended: " + open(self.log).read()[-2000:]
            with open(self.log) as log:
                log.seek(start)
                return "Kafka Server started" in log.read()
        wait_for("kafka", started, 60)
        return self

    def tool(self, *words, text="", properties=()):
        done = subprocess.run([TOOL, self.brokers, *properties, *map(str, words)], input=text, capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(done.stderr)
        return done.stdout

    def consumer_groups(self, *words):
        """What kafka-consumer-groups.sh does."""
        return subprocess.run([*JAVA, "-cp", f"{jars()}/*:{jars('tools')}/*", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                               "--bootstrap-server", self.brokers, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def allow(self, *words):
        """What kafka-acls.sh does for bob."""
        subprocess.run([*JAVA, "-cp", f"{jars()}/*:{jars('tools')}/*", "org.apache.kafka.tools.AclCommand", "--bootstrap-server", self.brokers,
                        "--add", "--allow-principal", "User:bob", *words], stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def create(self, topic, partitions=1, *properties):
        self.tool("create", topic, partitions, *properties)
        return topic

    def send(self, topic, records, *properties):
        """Of (partition, key, value[, {header: value}]); a text instead is COMMIT or ABORT."""
        def text(value):
            return r"\N" if value is None else value if isinstance(value, str) else json.dumps(value)

        def line(record):
            if isinstance(record, str):
                return record
            headers = [f"{name}={value}" for name, value in (record[3] if len(record) > 3 else {}).items()]
            return "\t".join([str(record[0]), text(record[1]), text(record[2]), *headers])
        self.tool("produce", topic, text="".join(line(record) + "\n" for record in records), properties=properties)

    def committed(self, topic, partitions=1, group="sluice-default"):
        """{partition: (offset, metadata)}"""
        lines = (line.split(" ", 2) for line in self.tool("committed", group, topic, partitions).splitlines())
        return {int(partition): (int(offset), metadata) for partition, offset, metadata in lines}


_kafka = {}


def the_kafka(t, secure=False):
    """The one of this file of tests."""
    if secure not in _kafka:
        _kafka[secure] = Kafka(os.path.join(os.path.dirname(t.dir), f"kafka{secure:d}"), secure)
    if not _kafka[secure].alive():
        _kafka[secure].up()
    return _kafka[secure]


def settings(t, server, topics, fmt="debezium", tables=("items",), source=None, properties=None, **more):
    """A configuration without any Redis."""
    return merge({"redis": None, "kafka": {"brokers": server.brokers, "settings": {**QUICK, **(properties or {})}},
                  "sources": [{"topics": topics, "format": fmt, "tables": list(tables), **(source or {})}],
                  "tables": {"users": None, **{name: {} for name in tables}}}, more)
