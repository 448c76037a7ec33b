"""An independent reading of docs/audit.md: verifies a SQLite trail with nothing of ours.

    verify_audit.py DATABASE [CHECKPOINT_FILE]

Prints OK, or a line a fault and exits 1. Signatures are left to the product's verifier: the standard library
has no ECDSA.
"""

import hashlib
import json
import sqlite3
import sys

COLUMNS = """writer seq recorded_at role account region action outcome reason principal request_id trace_id source
sid workload provider session_id grant_id person personal detail previous hash""".split()


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def part(value: bytes) -> bytes:
    return len(value).to_bytes(8, "big") + value


def field(value) -> bytes:
    if value is None:
        return b"\0" + part(b"")
    if isinstance(value, str):
        return b"\1" + part(value.encode())
    if isinstance(value, int):
        return b"\2" + part(value.to_bytes(8, "big", signed=True))
    return b"\3" + part(value)


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\0", leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", tree_root(leaves[:split]), tree_root(leaves[split:]))


def checkpoints(database, faults):
    """The lines by number, and every head that some checkpoint names."""
    lines, named, heads, previous = {}, [], {}, "0" * 64
    for number, statement, signature in database.execute("SELECT * FROM audit_checkpoint ORDER BY number"):
        said = json.loads(statement)
        if number != len(lines) + 1 or said["number"] != number:
            faults.append(f"audit_checkpoint {number}: out of place")
        if said["previous"] != previous:
            faults.append(f"audit_checkpoint {number}: does not follow the one before")
        for head in said["heads"]:
            heads[head["writer"]] = head
            named.append((f"checkpoint {number}", head))
        leaves = [
            field(head["writer"]) + field(head["seq"]) + field(head["hash"]) + field(head["root"])
            for _, head in sorted(heads.items())
        ]
        if (said["writers"], said["root"]) != (len(leaves), tree_root(leaves).hex()):
            faults.append(f"audit_checkpoint {number}: other tree of heads")
        lines[number] = f'{{"checkpoint":{statement},"signature":"{signature}"}}'
        previous = sha256(lines[number].encode()).hex()
    return lines, named


def records(database, faults):
    """The hashes of each chain, and every head that a first record names."""
    chains, named = {}, []
    for row in database.execute("SELECT * FROM audit_record ORDER BY writer, seq"):
        record = dict(zip(COLUMNS, row, strict=True))
        chain = chains.setdefault(record["writer"], [])
        place = f"audit_record {record['writer']}-{record['seq']}"
        canonical = b"".join(field(record[column]) for column in COLUMNS[:-2])
        expected = sha256(part(b"countersign audit record v1"), part(record["previous"]), part(canonical))
        if record["seq"] != len(chain) + 1:
            faults.append(f"{place}: out of place")
        if record["previous"] != (chain[-1] if chain else bytes(32)):
            faults.append(f"{place}: does not follow the one before")
        if record["hash"] != expected:
            faults.append(f"{place}: does not have the hash of its content")
        if (record["action"] == "OpenAuditWriter") != (record["seq"] == 1):
            faults.append(f"{place}: opens a writer out of place, or does not")
        if record["seq"] == 1:
            named += [(place, head) for head in json.loads(record["detail"])["heads"]]
        chain.append(record["hash"])
    return chains, named


def verify(path, checkpoint_file=None):
    database, faults = sqlite3.connect(f"file:{path}?mode=ro", uri=True), []
    identity = database.execute("SELECT id FROM database_identity").fetchone()[0]
    lines, named = checkpoints(database, faults)
    chains, also_named = records(database, faults)
    for by, head in named + also_named:
        chain = chains.get(head["writer"], [])[: head["seq"]]
        if len(chain) < head["seq"] or chain[-1].hex() != head["hash"]:
            faults.append(f"audit_record {head['writer']}-{head['seq']}: is not the one that {by} names")
        elif "root" in head and tree_root(chain).hex() != head["root"]:
            faults.append(f"audit_record {head['writer']}-{head['seq']}: other tree than {by} names")
    for line in open(checkpoint_file) if checkpoint_file else []:
        said = json.loads(line)["checkpoint"]
        if said["database"] == identity and lines.get(said["number"]) != line.rstrip("\n"):
            faults.append(f"audit_checkpoint {said['number']}: is not the one in the file")
    return faults


if __name__ == "__main__":
    found = verify(*sys.argv[1:3])
    print("\n".join(found) or "OK")
    sys.exit(bool(found))
