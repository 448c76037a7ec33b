"""Verifies an exported audit trail with nothing of Countersign's: written from docs/audit.md alone.

    verify.py EXPORT PUBLIC_KEYS [CHECKPOINTS]

Prints a line a database, or a line a fault and exits 1. Needs the package `cryptography` for ES256. The public keys, and
the checkpoints if there are any, must have come another way than the export.
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

COLUMNS = """writer seq recorded_at role account region action outcome reason principal request_id trace_id source
sid workload provider session_id grant_id person personal detail previous hash""".split()


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def part(value):
    return len(value).to_bytes(8, "big") + value


def field(value):
    if value is None:
        return b"\0" + part(b"")
    if isinstance(value, int):
        return b"\2" + part(value.to_bytes(8, "big", signed=True))
    return (b"\1" + part(value.encode())) if isinstance(value, str) else (b"\3" + part(value))


def tree_root(leaves):
    """RFC 6962 section 2.1."""
    level = [sha256(b"\0", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [sha256(b"\1", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return (level or [sha256()])[0]


def spelled(said):
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def signed(statement, signature, keys):
    key, raw = keys[json.loads(statement)["kid"]], b64(signature)
    number = ec.EllipticCurvePublicNumbers(*(int.from_bytes(b64(key[c]), "big") for c in "xy"), ec.SECP256R1())
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    number.public_key().verify(utils.encode_dss_signature(r, s), statement.encode(), ec.ECDSA(SHA256()))


class Section:
    def __init__(self, header, keys, kept):
        self.header, self.keys, self.kept = header, keys, kept
        self.previous, self.heads, self.named, self.lines, self.chains = "0" * 64, {}, [], {}, {}

    def checkpoint(self, line):
        signature = json.loads(line)["signature"]
        statement = line[len('{"checkpoint":') : -len(f',"signature":"{signature}"}}')]
        said = json.loads(statement)
        place = f"audit_checkpoint {said['number']}"
        signed(statement, signature, self.keys)
        if said["number"] != len(self.lines) + 1 or said["previous"] != self.previous:
            yield f"{place}: does not follow the one before"
        if any(said[name] != self.header[name] for name in ("role", "database")):
            yield f"{place}: belongs to another database"
        for head in said["heads"]:
            if head["seq"] < self.heads.get(head["writer"], head)["seq"]:
                yield f"{place}: sets a head back"
            self.heads[head["writer"]] = head
            self.named.append((place, head))
        leaves = [b"".join(field(head[n]) for n in ("writer", "seq", "hash", "root")) for _, head in sorted(self.heads.items())]
        if (said["writers"], said["root"]) != (len(leaves), tree_root(leaves).hex()):
            yield f"{place}: has another tree of heads"
        self.previous = self.lines[said["number"]] = sha256(line.encode()).hex()

    def record(self, row):
        chain, place = self.chains.setdefault(row["writer"], []), f"audit_record {row['writer']}-{row['seq']}"
        values = [b64(row[c]) if c == "personal" and row[c] is not None else row[c] for c in COLUMNS[:-2]]
        previous, canonical = bytes.fromhex(row["previous"]), b"".join(map(field, values))
        if list(row) != COLUMNS or row["role"] != self.header["role"]:
            yield f"{place}: has other columns, or another role"
        if row["seq"] != len(chain) + 1 or previous != (chain[-1] if chain else bytes(32)):
            yield f"{place}: does not follow the one before"
        if sha256(part(b"countersign audit record v1"), part(previous), part(canonical)).hex() != row["hash"]:
            yield f"{place}: does not have the hash of its content"
        if (row["action"] == "OpenAuditWriter") != (row["seq"] == 1):
            yield f"{place}: opens a writer out of place, or does not"
        if row["seq"] == 1:
            said = json.loads(row["detail"])
            self.named += [(place, head) for head in said["heads"]]
            if said["checkpoint"] and self.lines.get(said["checkpoint"]["number"]) != said["checkpoint"]["hash"]:
                yield f"{place}: names another checkpoint"
        chain.append(bytes.fromhex(row["hash"]))

    def end(self, counts):
        if counts != {"checkpoints": len(self.lines), "records": sum(map(len, self.chains.values()))}:
            yield f"{self.header['role']}: the file was cut or added to"
        for place, head in self.named:
            chain = self.chains.get(head["writer"], [])[: head["seq"]]
            if len(chain) < head["seq"] or chain[-1].hex() != head["hash"]:
                yield f"audit_record {head['writer']}-{head['seq']}: is not the one that {place} names"
            elif "root" in head and tree_root(chain).hex() != head["root"]:
                yield f"audit_record {head['writer']}-{head['seq']}: ends another tree than {place} names"
        for line in self.kept:
            said = json.loads(line)["checkpoint"]
            if said["role"] == self.header["role"] and self.lines.get(said["number"]) != sha256(line.encode()).hex():
                yield f"audit_checkpoint {said['number']}: is not the one that was kept"


def verify(export, keys, kept):
    section, faults = None, []
    for number, line in enumerate(open(export, encoding="utf-8", newline="\n"), 1):
        try:
            line, cut = line[:-1], not line.endswith("\n")
            said = json.loads(line)
            kind = next(iter(said))
            if cut or (spelled(said) != line and kind != "checkpoint") or (kind == "export") != (section is None):
                raise ValueError("cut, misspelt or out of place")
            if kind == "export":
                section = Section(said["export"], keys, kept)
            elif kind == "end":
                faults += section.end(said["end"])
                print(f"{section.header['role']}: {said['end']['records']} records (database {section.header['database']})")
                section = None
            else:
                faults += section.checkpoint(line) if kind == "checkpoint" else section.record(said["record"])
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, InvalidSignature) as error:
            faults.append(f"line {number}: {type(error).__name__}: {error}")
    return faults + (["the file was cut"] if section else [])


if __name__ == "__main__":
    public = {key["kid"]: key for key in json.load(open(sys.argv[2]))["keys"]}
    found = verify(sys.argv[1], public, open(sys.argv[3]).read().splitlines() if len(sys.argv) > 3 else [])
    print("\n".join(found) or "OK")
    sys.exit(bool(found))
