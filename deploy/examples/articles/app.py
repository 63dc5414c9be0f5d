"""Article pages: a view is counted behind, a page is read through sluice_get, and what is popular is warm."""
import json, os, time
import pymysql, redis

cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
database = pymysql.connect(**json.loads(os.environ["MYSQL"]), autocommit=True)


def edit(article, version, **fields):
    cache.xadd("wb:articles", {"id": article, "_version": version, **fields})


def view(article):
    cache.xadd("wb:views", {"_op": "incr", "article_id": article, "views": 1})
    while True:
        word, *answer = cache.fcall("sluice_get", 1, f"article:{article}", 10000, 50, 20)
        if word in ("HIT", "STALE"):
            return answer[0] and json.loads(answer[0])
        if word == "WAIT":
            time.sleep(answer[0] / 1000)
            continue
        with database.cursor(pymysql.cursors.DictCursor) as c:
            c.execute("SELECT id, title, body, ver FROM articles WHERE id = %s", article)
            row = c.fetchone()
        if not row:
            return None
        version = row.pop("ver")
        if word == "LOAD":
            cache.fcall("sluice_fill", 1, f"article:{article}", answer[0], version, json.dumps(row), 1_800_000)
        return row
