"""An inventory: orders are increments, each applied exactly once; one that would go below 0 becomes a dead letter."""
import binascii, json, os
import pymysql, redis

cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
database = pymysql.connect(**json.loads(os.environ["MYSQL"]), autocommit=True)


def lane(item):
    return f"wb:items:{binascii.crc_hqx(str(item).encode(), 0) % 4}"


def stock_up(item, name, count):
    cache.xadd(lane(item), {"id": item, "name": name, "stock": count})


def order(item, count=1):
    cache.xadd(lane(item), {"_op": "incr", "id": item, "stock": -count})


def read(item):
    cache.xadd("reads", {"k": f"item:{item}"}, maxlen=10000)
    if found := cache.get(f"item:{item}"):
        return json.loads(found)
    with database.cursor(pymysql.cursors.DictCursor) as c:
        c.execute("SELECT id, name, stock FROM items WHERE id = %s", item)
        row = c.fetchone()
    if row:
        cache.set(f"item:{item}", json.dumps(row), ex=7200)
    return row
