"""Copies a data directory once for each way to tamper with its audit trail.

    tamper.py DATA OUT change|delete|truncate

change:    another value in one column of the first, a middle or the last row of a table.
delete:    one row gone.
truncate:  the last record of a chain gone, with every checkpoint in the database and beside it.

Prints a JSON object for each copy: `copy`, its directory; `place`, what a verifier must name; `what` was done.
Only the standard library is used.
"""

import json
import pathlib
import shutil
import sqlite3
import sys

data, out, mode = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
KEYS = {"audit_record": ("writer", "seq"), "audit_checkpoint": ("number",)}


def changed(value, column_type):
    """Differs in one byte or bit; None where the type has no such value."""
    match value:
        case None:
            return {"TEXT": "x", "BLOB": b"x"}.get(column_type)
        case int():
            return value + 1
        case bytes():
            return value[:-1] + bytes([value[-1] ^ 1])
        case "":
            return "x"
        case str():
            return value[:-1] + ("0" if value[-1] != "0" else "1")


def tampered(name, place, what, *statements):
    copy = out / str(tampered.count)
    tampered.count += 1
    shutil.copytree(data, copy)
    database = sqlite3.connect(copy / name)
    for sql, parameters in statements:
        done = database.execute(sql, parameters).rowcount
        assert done > 0, f"{sql} {parameters}: changed nothing"
    database.commit()
    database.close()
    if mode == "truncate":
        (copy / "audit-checkpoints").write_text("")
    print(json.dumps({"copy": str(copy), "place": place, "what": f"{name} {place}: {what}"}))


tampered.count = 0


def change(name, table, place, where, key, row, types, taken):
    for column, column_type in types.items():
        value = changed(row[column], column_type)
        if column in KEYS[table]:
            # Rows are told apart by it: the neighbour's is no change that the database would take.
            while tuple({**key, column: value}.values()) in taken:
                value += 1
        if value is not None:
            sql = f"UPDATE {table} SET {column} = ? WHERE {where}"
            tampered(name, place, f"{column} = {value!r}", (sql, (value, *key.values())))


for name in ("identity.sqlite", "gateway.sqlite"):
    database = sqlite3.connect(f"file:{data / name}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'audit\\_%' ESCAPE '\\'")
    tables = [table for (table,) in tables]
    assert set(tables) == set(KEYS), f"audit tables that this script does not know: {tables}"
    for table in tables:
        types = {column["name"]: column["type"] for column in database.execute(f"PRAGMA table_info({table})")}
        names = KEYS[table]
        rows = [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY {', '.join(names)}")]
        keys = [{column: row[column] for column in names} for row in rows]
        taken = {tuple(key.values()) for key in keys}
        where = " AND ".join(f"{column} = ?" for column in names)
        chosen = {0, len(rows) // 2, len(rows) - 1}
        for index, (key, row) in enumerate(zip(keys, rows)):
            place = f"{table} {'-'.join(map(str, key.values()))}"
            last = index + 1 == len(rows) or (table == "audit_record" and keys[index + 1]["writer"] != key["writer"])
            delete = (f"DELETE FROM {table} WHERE {where}", tuple(key.values()))
            if mode == "change" and index in chosen:
                change(name, table, place, where, key, row, types, taken)
            elif mode == "delete":
                tampered(name, place, "deleted", delete)
            elif mode == "truncate" and last and table == "audit_record":
                # The kept file's oldest line about this database is the first thing that is missed.
                what = f"{place} and all checkpoints deleted"
                tampered(name, "audit_checkpoint 1", what, delete, ("DELETE FROM audit_checkpoint", ()))
    database.close()
