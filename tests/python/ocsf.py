"""Validates events against the published OCSF schema: ocsf.py FILE, a JSON object a line. Exits 1 and says what is wrong."""
import collections
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

schemas, validators, faults, seen = {}, {}, 0, collections.Counter()
for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
    event = json.loads(line)
    version, uid = event["metadata"]["version"], event["class_uid"]
    profiles = tuple(event["metadata"]["profiles"])
    if version not in schemas:
        schemas[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    if (version, uid, profiles) not in validators:
        name = schemas[version].lookup_class_name_from_uid(class_uid=uid)
        schema = schemas[version].get_class_schema(class_name=name, profiles=list(profiles))
        validators[version, uid, profiles] = Draft202012Validator(schema)
    for error in validators[version, uid, profiles].iter_errors(event):
        faults += 1
        print(f"line {number}: {event['activity_name']}: {error.json_path}: {error.message[:300]}")
    if event["type_uid"] != uid * 100 + event["activity_id"] or event["category_uid"] != uid // 1000:
        faults += 1
        print(f"line {number}: {event['activity_name']}: type_uid or category_uid")
    seen[uid] += 1
print(dict(seen))
sys.exit(1 if faults or not seen else 0)
