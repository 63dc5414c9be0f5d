"""Users: read cache-aside under a lease, written through with the row's version, told to sluice in case we die between."""
import binascii, json, os, time
import pymysql, redis

cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
database = pymysql.connect(**json.loads(os.environ["MYSQL"]), autocommit=True, cursorclass=pymysql.cursors.DictCursor)
HOUR = 3_600_000


def load(user):
    with database.cursor() as c:
        c.execute("SELECT id, name, ver FROM users WHERE id = %s", user)
        return c.fetchone()


def read(user):
    """Cache-aside: one reader loads, the others wait or get what is there."""
    while True:
        word, *answer = cache.fcall("sluice_get", 1, f"user:{user}", 10000, 50, 20)
        if word in ("HIT", "STALE"):
            return answer[0] and json.loads(answer[0])
        if word != "WAIT":
            break
        time.sleep(answer[0] / 1000)
    row = load(user)
    if word == "LOAD" and row:
        cache.fcall("sluice_fill", 1, f"user:{user}", answer[0], row["ver"], json.dumps(row), HOUR)
    elif word == "LOAD":
        cache.fcall("sluice_fill_none", 1, f"user:{user}", answer[0], answer[1], 60_000)
    return row


def write(user, name):
    """Write-through: the row first, then the cache; sluice invalidates below that version, once more if need be."""
    with database.cursor() as c:
        c.execute("INSERT INTO users (id, name) VALUES (%s, %s) ON DUPLICATE KEY UPDATE name = VALUES(name), ver = ver + 1", (user, name))
    row = load(user)
    cache.xadd(f"wb:users:{binascii.crc_hqx(str(user).encode(), 0) % 4}", {"_op": "invalidate", "id": user, "_version": row["ver"]})
    cache.fcall("sluice_populate", 1, f"user:{user}", row["ver"], json.dumps(row), HOUR, 10, 0, 60_000, 1)
