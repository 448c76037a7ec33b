"""Verifies an exported audit trail with nothing of Countersign's: written from docs/audit.md alone.

    verify.py EXPORT PUBLIC_KEYS [CHECKPOINTS [EPOCH]]

Prints a line a database and OK, or a line a fault and exits 1. Needs the package `cryptography` for ES256. The public
keys, and the checkpoints if there are any, must have come another way than the export. EPOCH is the latest restore that
you know of (0: none): what it left behind is no fault.
"""

import base64
import functools
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

COLUMNS = """writer seq recorded_at role account region action outcome reason principal request_id trace_id source
sid workload provider session_id grant_id person personal detail previous hash""".split()

# What reading a line of the wrong form raises.
MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)


def b64(text):
    """Every value has one spelling: what else decodes to the same bytes is an edit."""
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(value).rstrip(b"=").decode() != text:
        raise ValueError("is misspelt: not base64url")
    return value


def digest(text):
    value = bytes.fromhex(text)
    if len(value) != 32 or value.hex() != text:
        raise ValueError("is misspelt: not a hash")
    return value


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def part(value):
    return len(value).to_bytes(8, "big") + value


def field(value):
    if value is None:
        return b"\0" + part(b"")
    if type(value) is int:
        return b"\2" + part(value.to_bytes(8, "big", signed=True))
    return (b"\1" + part(value.encode())) if isinstance(value, str) else (b"\3" + part(value))


def record_hash(row):
    values = [b64(row[c]) if c == "personal" and row[c] is not None else row[c] for c in COLUMNS[:-2]]
    parts = b"countersign audit record v1", digest(row["previous"]), b"".join(map(field, values))
    return sha256(*map(part, parts)).hex()


def head_leaf(head):
    return b"".join(field(head[name]) for name in ("writer", "seq", "hash", "root"))


class Tree:
    """RFC 6962 section 2.1, leaf by leaf: holds the roots of its whole subtrees, the largest first."""

    def __init__(self, leaves=()):
        self.size, self.whole = 0, []
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf):
        node, size = sha256(b"\0", leaf), self.size
        while size & 1:
            node, size = sha256(b"\1", self.whole.pop(), node), size >> 1
        self.whole.append(node)
        self.size += 1

    def root(self):
        folded = functools.reduce(lambda right, left: sha256(b"\1", left, right), reversed(self.whole or [sha256()]))
        return folded.hex()


def spelled(said):
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False)


def signed_statement(line, keys):
    """What a checkpoint line says, if one of the keys has signed it."""
    signature = json.loads(line)["signature"]
    statement = line[len('{"checkpoint":') : -len(f',"signature":"{signature}"}}')]
    if line != f'{{"checkpoint":{statement},"signature":"{signature}"}}':
        raise ValueError("is not a checkpoint line")
    said, raw = json.loads(statement), b64(signature)
    key = keys.get(said["kid"])
    if key is None or said["version"] != 1:
        raise ValueError("is not a statement of version 1, signed by one of these keys")
    number = ec.EllipticCurvePublicNumbers(*(int.from_bytes(b64(key[c]), "big") for c in "xy"), ec.SECP256R1())
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    try:
        number.public_key().verify(utils.encode_dss_signature(r, s), statement.encode(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise ValueError("has a signature that does not verify") from None
    return said


class Section:
    """One database's part of the file, line by line."""

    def __init__(self, line):
        said = json.loads(line)["export"]
        self.role, self.database = said["role"], said["database"]
        if line != spelled({"export": {"version": 1, "role": self.role, "database": self.database}}):
            raise ValueError("is not the beginning of a section of version 1")
        self.newest, self.previous, self.lines, self.heads, self.named = None, "0" * 64, {}, {}, []
        self.last, self.chains, self.tree, self.roots = ("", 0), {}, None, {}
        self.firsts, self.left = {}, {}

    def checkpoint(self, line, keys):
        if self.chains:
            raise ValueError("is a checkpoint after the records")
        number = json.loads(line)["checkpoint"]["number"]
        place = f"audit_checkpoint {number}"
        try:
            self.newest = said = signed_statement(line, keys)
        except MALFORMED as error:
            yield f"{place}: {error}"
            return
        if number != len(self.lines) + 1 or said["previous"] != self.previous:
            yield f"{place}: does not follow the one before"
        if (said["role"], said["database"]) != (self.role, self.database):
            yield f"{place}: belongs to another database"
        if said["restoreEpoch"] < max(self.firsts, default=0):
            yield f"{place}: is of an earlier restore epoch than the one before"
        self.firsts.setdefault(said["restoreEpoch"], number)
        for head in said["heads"]:
            if head["seq"] < self.heads.get(head["writer"], head)["seq"]:
                yield f"{place}: sets a head back"
            self.heads[head["writer"]] = head
            self.named.append((place, head))
            self.roots[head["writer"], head["seq"]] = None
        if said["complete"]:
            yield from self.tree_of_heads()
        self.previous = self.lines[number] = sha256(line.encode()).hex()

    def tree_of_heads(self):
        leaves = [head_leaf(head) for _, head in sorted(self.heads.items())]
        if (self.newest["writers"], self.newest["root"]) != (len(leaves), Tree(leaves).root()):
            yield f"audit_checkpoint {self.newest['number']}: has another tree of heads"

    def record(self, line):
        row = json.loads(line)["record"]
        at, place = (row["writer"], row["seq"]), f"audit_record {row['writer']}-{row['seq']}"
        if line != spelled({"record": {column: row[column] for column in COLUMNS}}):
            raise ValueError(f"is misspelt ({place})")
        if at <= self.last:
            raise ValueError(f"is out of order or repeated ({place})")
        if row["writer"] != self.last[0]:
            self.chains[row["writer"]], self.tree = [], Tree()
        chain, self.last = self.chains[row["writer"]], at
        if row["role"] != self.role:
            yield f"{place}: belongs to another role"
        if row["seq"] != len(chain) + 1 or row["previous"] != (chain[-1] if chain else "0" * 64):
            yield f"{place}: does not follow the one before"
        if record_hash(row) != row["hash"]:
            yield f"{place}: does not have the hash of its content"
        if (row["action"] == "OpenAuditWriter") != (row["seq"] == 1):
            yield f"{place}: opens a writer out of place, or does not"
        if row["seq"] == 1:
            said = json.loads(row["detail"])
            self.named += [(place, head) for head in said["heads"]]
            if said["checkpoint"] and self.lines.get(said["checkpoint"]["number"]) != said["checkpoint"]["hash"]:
                yield f"{place}: names another checkpoint"
        chain.append(row["hash"])
        self.tree.add(digest(row["hash"]))
        if at in self.roots:
            self.roots[at] = self.tree.root()

    def left_behind(self, text, keys, restored):
        """Whether a restore that is known explains that a kept line is not here: a later life began at or before its number."""
        said = signed_statement(text, keys)
        number, epoch = said["number"], said["restoreEpoch"]
        restore = min((later for later, first in self.firsts.items() if later > epoch and first <= number), default=None)
        if restore is None:
            raise ValueError("is not the one that was kept")
        if restore > restored:
            raise ValueError(f"is not the one that was kept, by restore {restore} of which nobody has said that it was meant")
        if self.left.setdefault((epoch, number), (restore, text)) != (restore, text):
            raise ValueError(f"was kept twice, with different content, of restore epoch {epoch}")

    def end(self, line, kept, keys, restored):
        counts = {"checkpoints": len(self.lines), "records": sum(map(len, self.chains.values()))}
        if line != spelled({"end": counts}):
            raise ValueError(f"does not end a section of {counts}")
        if self.newest:
            yield from self.tree_of_heads()
        for place, head in self.named:
            at, chain = (head["writer"], head["seq"]), self.chains.get(head["writer"], [])[: head["seq"]]
            if len(chain) < head["seq"] or chain[-1] != head["hash"]:
                yield f"audit_record {at[0]}-{at[1]}: is not the one that {place} names"
            elif "root" in head and self.roots[at] != head["root"]:
                yield f"audit_record {at[0]}-{at[1]}: ends another tree than {place} names"
        for role, database, number, text in kept:
            if (role, database) == (self.role, self.database) and self.lines.get(number) != sha256(text.encode()).hex():
                try:
                    self.left_behind(text, keys, restored)
                except MALFORMED as error:
                    yield f"audit_checkpoint {number}: {error}"
        print(f"{self.role}: {counts} (database {self.database})")
        for restore in sorted({restore for restore, _ in self.left.values()}):
            count = sum(left[0] == restore for left in self.left.values())
            print(f"  {count} of the kept checkpoints, of before restore {restore}, are not in the export")


def kept_checkpoints(text, faults):
    """Role, database, number and text of each line. What a crash cut after the last newline was never acknowledged."""
    kept, lines = [], text.replace("\r\n", "\n").split("\n")
    for place, line in enumerate(lines, 1):
        try:
            said = json.loads(line)["checkpoint"]
            kept.append((said["role"], said["database"], said["number"], line))
        except MALFORMED:
            if line and place < len(lines):
                faults.append(f"checkpoint file line {place}: is not a checkpoint line")
    return kept or faults.append("checkpoint file: holds no checkpoint") or []


def verify(export, keys, kept, faults, restored=0):
    """Adds what is wrong to the faults. A line that cannot be where it is ends the reading: the rest says little."""
    section, seen, place = None, set(), 0
    try:
        for place, line in enumerate(export, 1):
            if not line.endswith("\n"):
                raise ValueError("is cut")
            line = line[:-1]
            if section is None:
                section = Section(line)
                if (section.role, section.database) in seen:
                    raise ValueError("begins a second section of its database")
                seen.add((section.role, section.database))
            elif line.startswith('{"checkpoint":'):
                faults += section.checkpoint(line, keys)
            elif line.startswith('{"record":'):
                faults += section.record(line)
            else:
                faults += section.end(line, kept, keys, restored)
                section = None
    except MALFORMED as error:
        return faults.append(f"export line {place}: {error if isinstance(error, ValueError) else repr(error)}")
    if section or not seen:
        faults.append(f"export line {place + 1}: is missing: the file was cut")
    for role, database in sorted({line[:2] for line in kept} - seen):
        faults.append(f"{role}: database {database}, of which checkpoints were kept, is not in the export")


def text_of(path):
    return open(path, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    found = []
    public = {key["kid"]: key for key in json.load(text_of(sys.argv[2]))["keys"]}
    known = kept_checkpoints(text_of(sys.argv[3]).read(), found) if len(sys.argv) > 3 else []
    verify(text_of(sys.argv[1]), public, known, found, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    print("\n".join(found) or "OK")
    sys.exit(bool(found))
