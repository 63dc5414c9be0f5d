"""
The README's read paths, each in its language against a real Redis: without the library, with it, where WAIT runs out,
where MySQL fails, and with Redis down.
"""
import hashlib, os, re, shutil, subprocess
import redis
from cache_functions import Cache
from support import BUILD, TOP, Skip, equal

SUPPORT = os.path.join(TOP, "tests", "support")
PLACE = os.path.join(BUILD, "read_path")  # what was fetched and built
JEDIS = "5.2.0"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>t</groupId><artifactId>jedis</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>redis.clients</groupId><artifactId>jedis</artifactId><version>{JEDIS}</version></dependency>
</dependencies></project>
"""


def snippet(name, language):
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        return re.search(f"<!-- {name} -->\n```{language}\n(.*?)```", readme.read(), re.S)[1]


def demand(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program}")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def tool(what, *argv, cwd=None, env=None):
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300)
    return None if done.returncode == 0 else f"{what}: " + " ".join(done.stdout.split()[-40:])


def place_of(source):
    """A directory for what is built of this text, and whether it is there already."""
    place = os.path.join(PLACE, hashlib.sha256(source.encode()).hexdigest()[:16])
    done = os.path.exists(os.path.join(place, ".complete"))
    os.makedirs(place, exist_ok=True)
    return place, done


def complete(place):
    open(os.path.join(place, ".complete"), "w").close()  # pylint: disable=consider-using-with


def play(t, argv):
    """What every read path has to do; argv is a program as tests/support/read_path.js is one."""
    t.own_redis()
    with subprocess.Popen([*argv, str(t.redis_server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as program:
        def read(key, version="57", payload="pay", patience=1000):
            print(key, version, payload, patience, file=program.stdin, flush=True)
            return program.stdout.readline().split()
        try:
            equal(read("user:1"), ["pay", "1"], "without the library")
            cache = Cache(t.redis)
            equal([read("user:1") for _ in range(3)], [["pay", "2"]] * 3, "one filled")
            equal(cache.invalidate("user:1", 58), "NEW")
            equal(read("user:1", 58, "new"), ["new", "3"])
            equal(read("user:1"), ["new", "3"])
            equal([read("user:2", "-", "-") for _ in range(2)], [["null", "4"]] * 2, "no such row was filled too")
            cache.load("user:3")
            equal(read("user:3", patience=50), ["pay", "5"], "WAIT ran out")
            equal(read("user:4", "!"), ["default", "6"], "MySQL is down")
            equal(t.redis.hexists("user:4", "p"), False, "a default is not filled")
            t.redis_server.kill()
            equal(read("user:1"), ["pay", "7"], "Redis is down")
            equal(read("user:1", "!"), ["default", "8"], "both are down")
        except AssertionError:
            program.kill()
            print(program.stderr.read()[-2000:])
            raise
        finally:
            program.kill()


def test_the_read_path_in_python(t):
    names = {"redis": redis}
    exec(snippet("read path", "python"), names)  # pylint: disable=exec-used
    t.own_redis()
    read, loads = names["read"], []

    def load(row=(57, b"pay")):
        loads.append(row)
        return row

    def fail():
        raise OSError("MySQL is down")
    equal(read(t.redis, "user:1", load), b"pay", "without the library")
    cache = Cache(t.redis)
    for _ in range(3):
        equal(read(t.redis, "user:1", load), b"pay")
    equal(len(loads), 2, "one filled")
    equal(cache.invalidate("user:1", 58), "NEW")
    equal(read(t.redis, "user:1", lambda: load((58, b"new"))), b"new")
    equal(read(t.redis, "user:1", load), b"new")
    for _ in range(2):
        equal(read(t.redis, "user:2", lambda: load(None)), None)
    equal(len(loads), 4, "no such row was filled too")
    cache.load("user:3")
    equal(read(t.redis, "user:3", load, patience=0.05), b"pay", "WAIT ran out")
    equal(len(loads), 5)
    try:
        raise AssertionError(f"MySQL is down: {read(t.redis, 'user:4', fail)}")
    except OSError:
        equal(t.redis.hexists("user:4", "p"), False, "a default is not filled")
    t.redis_server.kill()
    equal(read(t.redis, "user:1", load), b"pay", "Redis is down")


def test_the_read_path_in_node(t):
    demand("node")
    play(t, ["node", os.path.join(SUPPORT, "read_path.js"), snippet("read path node", "js")])


def test_the_read_path_in_go(t):
    """With the bench's go-redis."""
    demand("go")
    source = text_of(os.path.join(SUPPORT, "read_path.go")) + snippet("read path go", "go")
    place, done = place_of(source)
    if not done:
        for name in ("go.mod", "go.sum"):
            shutil.copy(os.path.join(TOP, "tests", "bench", name), place)
        with open(os.path.join(place, "main.go"), "w", encoding="utf-8") as out:
            out.write(source)
        away = tool("no go-redis", "go", "mod", "download", "github.com/redis/go-redis/v9", cwd=place, env={"GOTOOLCHAIN": "local"})
        if away:
            raise Skip(away)
        equal(tool("go build", "go", "build", "-o", "read_path", ".", cwd=place,
                   env={"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}), None)
        complete(place)
    play(t, [os.path.join(place, "read_path")])


def jedis_jars():
    """Fetched once from Maven Central."""
    place, done = place_of(POM)
    if not done:
        with open(os.path.join(place, "pom.xml"), "w", encoding="utf-8") as out:
            out.write(POM)
        away = tool("no Jedis", "mvn", "-q", "-B", "-f", os.path.join(place, "pom.xml"), "dependency:copy-dependencies",
                    "-DincludeScope=runtime", f"-DoutputDirectory={place}")
        if away:
            raise Skip(away)
        complete(place)
    return os.path.join(place, "*")


def test_the_read_path_in_java(t):
    demand("java", "javac", "mvn")
    jars = jedis_jars()
    source = text_of(os.path.join(SUPPORT, "ReadPath.java")).replace("//READ_PATH", snippet("read path java", "java"))
    place, done = place_of(source)
    if not done:
        with open(os.path.join(place, "ReadPath.java"), "w", encoding="utf-8") as out:
            out.write(source)
        equal(tool("javac", "javac", "-cp", jars, "ReadPath.java", cwd=place), None)
        complete(place)
    play(t, ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{place}:{jars}", "ReadPath"])
