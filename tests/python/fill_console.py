"""Fills the identity database of a stopped `dev` for ./bench console: fill_console.py DATABASE GRANTS RECORDS

Grants are copies of the first one under other keys, of a hundred thousand people, a hundred agents and twenty services.
Records are releases of them, properly chained, in ten chains; one grant has twenty thousand, in one login. Prints ids as
JSON by which pages can be asked for.
"""

import hashlib
import json
import os
import random
import sqlite3
import sys
import uuid

PATH, GRANTS, RECORDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PEOPLE, AGENTS, SERVICES, WRITERS, HEAVY = max(GRANTS // 10, 1), 100, 20, 10, min(20_000, RECORDS // 10)
COLUMNS = """writer seq recorded_at role account region action outcome reason principal request_id trace_id source
sid workload provider session_id grant_id person personal detail previous hash""".split()

random.seed(8)
db = sqlite3.connect(PATH, isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = -1000000")


def uuid7(millis):
    """Ids in the order of time, as the service makes them."""
    return str(uuid.UUID(int=(millis << 80) | (7 << 76) | (2 << 62) | random.getrandbits(62) | random.getrandbits(12) << 64))


def row_of(table):
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return dict(zip(columns, db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()))


def insert(table, columns, rows):
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows)
    db.execute("COMMIT")


model = row_of("oauth2_grant")
now = model["created_at"]
people = [os.urandom(32) for _ in range(PEOPLE)]
grants = []


def grant_rows():
    for n in range(GRANTS):
        made = now - (GRANTS - n) * 1000
        model.update(
            id=uuid7(made // 1000), user_key=people[n % PEOPLE], vault_key=os.urandom(32), session_id=str(uuid.uuid4()),
            workload_name=f"agent-{n % AGENTS}", provider_name=f"service-{n % SERVICES}", created_at=made, updated_at=made,
            state="needs_consent" if n % 5000 == 7 else "active", access_expires_at=now + 86_400_000_000,
            person=None, account_identity=None,
        )
        grants.append((model["id"], model["workload_name"], model["provider_name"], model["session_id"]))
        yield list(model.values())


insert("oauth2_grant", list(model), grant_rows())


def part(value):
    return len(value).to_bytes(8, "big") + value


def field(value):
    if value is None:
        return b"\0" + part(b"")
    if isinstance(value, int):
        return b"\2" + part(value.to_bytes(8, "big", signed=True))
    return (b"\1" + part(value.encode())) if isinstance(value, str) else (b"\3" + part(value))


used = grants[:: max(len(grants) // 10_000, 1)]
heads = {f"{n:032x}": bytes(32) for n in range(WRITERS)}
asked = {"records": [], "grants": [], "heavy": None}


def records():
    for n in range(RECORDS):
        writer, seq = f"{n % WRITERS:032x}", n // WRITERS + 1
        at = now - (RECORDS - n) * 500
        heavy = n % (RECORDS // HEAVY) == 0
        grant, agent, service, session = used[0] if heavy else used[random.randrange(1, len(used))]
        action, outcome, reason = "GetResourceOauth2Token", "done", None
        sid = "sid-heavy" if heavy else f"sid-{grant[-6:]}"
        if n % 200 == 3:
            outcome, reason = "refused", random.choice(["not_authorized", "wrong_person", "workload_stopped"])
        elif n % 50 == 4:
            action, grant, session = "GetWorkloadAccessTokenForJWT", None, None
        values = [
            writer, seq, at, "identity", "000000000000", "us-east-1", action, outcome, reason,
            f"arn:aws:iam::000000000000:user/{agent}", uuid7(at // 1000), f"{random.getrandbits(128):032x}", None, sid, agent,
            service, session, grant, hashlib.sha256(sid.encode()).hexdigest(), None,
            '{"released":true,"scopes":["issues:read"]}' if outcome == "done" and grant else "{}",
        ]
        previous = heads[writer]
        canonical = b"".join(map(field, values))
        heads[writer] = hashlib.sha256(
            b"".join(map(part, [b"countersign audit record v1", previous, canonical]))
        ).digest()
        if heavy:
            asked["heavy"] = f"{writer}-{seq}"
        elif n % (RECORDS // 500) == 1 and grant:
            asked["records"].append(f"{writer}-{seq}")
            asked["grants"].append(grant)
        yield values + [previous, heads[writer]]


insert("audit_record", COLUMNS, records())
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
asked.update(
    heavy_grant=used[0][0],
    people=[key.hex() for key in random.sample(people, min(200, len(people)))],
    agents=[f"agent-{n}" for n in range(AGENTS)],
    services=[f"service-{n}" for n in range(SERVICES)],
    held=db.execute("SELECT count(*) FROM oauth2_grant").fetchone()[0],
    kept=db.execute("SELECT count(*) FROM audit_record").fetchone()[0],
)
print(json.dumps(asked))
