"""A small shop: nginx -> this (gunicorn) -> Redis and PostgreSQL. Every request carries a number `n`.

The number goes into the Redis key and, as a column alias, into the SQL, so that a test can tell whose
call is whose without the tracer being told.
"""
import os
import threading
import time

import flask
import psycopg2
import redis

app = flask.Flask(__name__)
cache = redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]))
_db = None
_opening = threading.Lock()


def db():
    global _db
    # A thread that used the connection before it is in autocommit would begin a transaction, in which that cannot be set.
    with _opening:
        if _db is None or _db.closed:
            opened = psycopg2.connect(host="127.0.0.1", port=int(os.environ["PG_PORT"]), user="postgres",
                                      dbname="postgres", sslmode="disable")
            opened.autocommit = True
            _db = opened
        return _db


def number():
    return int(flask.request.args.get("n", "0"))


@app.get("/api/orders/<int:order>")
def orders(order):
    n = number()
    cache.get(f"order:{n}")
    with db().cursor() as cursor:
        cursor.execute(f"SELECT id, item, price AS n{n} FROM orders WHERE id = %s", (order,))
        row = cursor.fetchone()
    if row is None:
        return flask.jsonify(error="no such order"), 404
    cache.set(f"order:{n}", row[1], ex=60)
    return flask.jsonify(id=row[0], item=row[1], price=float(row[2]))


@app.post("/api/cart")
def cart():
    n = number()
    body = flask.request.get_data()
    with db().cursor() as cursor:
        cursor.execute(f"INSERT INTO cart (item) VALUES (%s) RETURNING id AS n{n}", (body.decode()[:60],))
        row = cursor.fetchone()
    cache.incr(f"cart:{n}")
    return flask.jsonify(id=row[0]), 201


@app.get("/api/slow")
def slow():
    n = number()
    with db().cursor() as cursor:
        cursor.execute(f"SELECT pg_sleep(0.15) AS n{n}")
    cache.get(f"slow:{n}")
    return "slow but here\n"


@app.get("/api/broken")
def broken():
    n = number()
    cache.get(f"broken:{n}")
    try:
        with db().cursor() as cursor:
            cursor.execute(f"SELECT price AS n{n} FROM no_such_table")
    except psycopg2.Error as error:
        return flask.jsonify(error=str(error)), 500
    return "unexpectedly fine\n"


@app.get("/api/compute")
def compute():
    n = number()
    cache.get(f"compute:{n}")
    end = time.process_time() + 0.02
    total = 0
    while time.process_time() < end:
        total += sum(i * i for i in range(500))
    return flask.jsonify(total=total % 1000)
