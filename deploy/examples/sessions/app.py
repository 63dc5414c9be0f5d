"""A session store: Redis answers, sluice writes, and a session that was evicted comes back from MySQL."""
import binascii, json, os, secrets, time
import pymysql, redis

cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
database = pymysql.connect(**json.loads(os.environ["MYSQL"]), autocommit=True)
DAY = 86400


def begin(account, data):
    token, now = secrets.token_hex(16), int(time.time() * 1000)
    cache.sadd(f"sessions:{account}", f"session:{token}")  # joins before it is there
    cache.set(f"session:{token}", json.dumps({"account_id": account, "data": data}), ex=DAY)
    lane = binascii.crc_hqx(token.encode(), 0) % 4
    cache.xadd(f"wb:sessions:{lane}", {"token": token, "account_id": account, "begun_ms": now, "data": data})
    return token


def read(token):
    cache.xadd("reads", {"k": f"session:{token}"}, maxlen=10000)
    try:
        if found := cache.get(f"session:{token}"):
            return json.loads(found)
    except redis.ResponseError:  # for some seconds an ended one that wasn't there is a mark, not a string
        pass
    with database.cursor() as c:
        c.execute("SELECT s.account_id, s.data FROM sessions s LEFT JOIN accounts a ON a.id = s.account_id"
                  " WHERE s.token = %s AND s.begun_ms > COALESCE(a.ended_ms, 0)", token)
        row = c.fetchone()
    return row and {"account_id": row[0], "data": row[1]}


def end_all(account):
    """Every session begun until now, wherever it is cached."""
    cache.xadd("wb:accounts", {"id": account, "ended_ms": int(time.time() * 1000)})
