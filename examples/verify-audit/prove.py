"""Checks the proof of a single record with nothing of Countersign's: written from docs/audit.md alone.

    prove.py PROOF PUBLIC_KEYS [CHECKPOINTS]

Prints OK with what was proved, or why it does not hold and exits 1. With checkpoints that were kept, the proof must be
one that was made `--since` one of them. The keys and the checkpoints must have come another way than the proof.
"""

import json
import sys

from verify import COLUMNS, MALFORMED, digest, head_leaf, kept_checkpoints, record_hash, sha256
from verify import signed_statement, text_of


def holds(condition, what):
    if not condition:
        raise ValueError(what)


def members(value, *names):
    holds(list(value) == list(names), f"has other members than {', '.join(names)}")
    return [value[name] for name in names]


def included(leaf, index, size, path, root):
    """RFC 6962 section 2.1.1, as RFC 9162 section 2.1.3.2 checks it."""
    if not (type(index) is type(size) is int and 0 <= index < size):
        return False
    node, last = sha256(b"\0", leaf), size - 1
    for sibling in map(digest, path):
        if last == 0:
            return False
        if index & 1 or index == last:
            node = sha256(b"\1", sibling, node)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1", node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node.hex() == root


def extends(old_size, new_size, old_root, new_root, path):
    """RFC 6962 section 2.1.2, as RFC 9162 section 2.1.4.2 checks it."""
    if old_size == new_size:
        return not path and old_root == new_root
    path = list(map(digest, path))
    if not 0 < old_size < new_size or not path:
        return False
    if old_size & (old_size - 1) == 0:
        path.insert(0, digest(old_root))
    index, last = old_size - 1, new_size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = sha256(b"\1", sibling, old), sha256(b"\1", sibling, new)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            new = sha256(b"\1", new, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and (old.hex(), new.hex()) == (old_root, new_root)


def anchored(value, keys):
    """A writer's head, and the statement of the checkpoint that it is in."""
    head, index, path, line = members(value, "head", "index", "path", "checkpoint")
    members(head, "writer", "seq", "hash", "root")
    statement = signed_statement(line, keys)
    inside = included(head_leaf(head), index, statement["writers"], path, statement["root"])
    holds(inside, "the writer's head is not in the checkpoint's tree")
    return head, statement


def check(proof, keys, kept):
    """The record, the statement that vouches for it, and the older one that this extends, if there is one."""
    since = proof.pop("since", None)
    version, record, path, newer = members(proof, "version", "record", "path", "head")
    members(record, *COLUMNS)
    holds(type(version) is int and version == 1, "it is not of version 1")
    holds(record_hash(record) == record["hash"], "the record does not have the hash of its content")
    head, statement = anchored(newer, keys)
    inside = included(digest(record["hash"]), record["seq"] - 1, head["seq"], path, head["root"])
    holds(inside and record["writer"] == head["writer"], "the record is not in its writer's tree")
    if since is None:
        holds(kept is None, "it does not say that a checkpoint that was kept still holds")
        return record, statement, None
    older, consistency = members(since, "head", "consistency")
    was, said = anchored(older, keys)
    same = (was["writer"], said["database"]) == (head["writer"], statement["database"])
    holds(
        same and extends(was["seq"], head["seq"], was["root"], head["root"], consistency),
        "the newer checkpoint does not extend the older one",
    )
    holds(kept is None or older["checkpoint"] in kept, "the older checkpoint is not one that was kept")
    return record, statement, said


def main(proof, keys, checkpoints=None):
    public = {key["kid"]: key for key in json.load(text_of(keys))["keys"]}
    kept = checkpoints and [line[-1] for line in kept_checkpoints(text_of(checkpoints).read(), [])]
    try:
        record, statement, older = check(json.load(text_of(proof)), public, kept)
    except MALFORMED as error:
        print(f"NOT OK: {error if isinstance(error, ValueError) else repr(error)}")
        return 1
    print(f"OK: under checkpoint {statement['number']} (database {statement['database']})")
    if older:
        print(f"which extends checkpoint {older['number']}")
    print(json.dumps(record, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
