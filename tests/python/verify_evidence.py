"""What the scripts of examples/verify-audit find in many exports and proofs.

Standard input: {"keys": JWK set, "kept": text of checkpoints, "exports": [text, …], "proofs": [text, …]}. Standard
output: a list of faults for each export, then for each proof.
"""

import contextlib
import io
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/verify-audit"))

from prove import check  # noqa: E402
from verify import MALFORMED, kept_checkpoints, verify  # noqa: E402

given = json.load(sys.stdin)
keys = {key["kid"]: key for key in given["keys"]["keys"]}
answers = []
for text in given["exports"]:
    faults = []
    with contextlib.redirect_stdout(io.StringIO()):
        kept = kept_checkpoints(given["kept"], faults) if given["kept"] else []
        verify(io.StringIO(text, newline="\n"), keys, kept, faults, given.get("restored", 2**63))
    answers.append(faults)
for text in given["proofs"]:
    try:
        check(json.loads(text), keys, given["kept"].splitlines() if given["kept"] else None)
        answers.append([])
    except MALFORMED as error:
        answers.append([str(error)])
json.dump(answers, sys.stdout)
