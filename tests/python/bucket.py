"""A bucket by AWS's own SDK: bucket.py ENDPOINT create|create-locked|keys|get|retention|delete BUCKET [KEY]"""
import sys

import boto3
from botocore.exceptions import ClientError

endpoint, command, bucket, *rest = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
if command == "create":
    s3.create_bucket(Bucket=bucket)
elif command == "create-locked":
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
elif command == "keys":
    for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        print(found["Key"])
elif command == "get":
    sys.stdout.write(s3.get_object(Bucket=bucket, Key=rest[0])["Body"].read().decode())
elif command == "put":
    s3.put_object(Bucket=bucket, Key=rest[0], Body=sys.stdin.buffer.read())
elif command == "retention":
    found = s3.head_object(Bucket=bucket, Key=rest[0])
    print(found["ObjectLockMode"], found["ObjectLockRetainUntilDate"].isoformat())
elif command == "delete":
    version = s3.head_object(Bucket=bucket, Key=rest[0])["VersionId"]
    try:
        s3.delete_object(Bucket=bucket, Key=rest[0], VersionId=version)
        print("deleted")
    except ClientError as error:
        print(error.response["Error"]["Code"])
