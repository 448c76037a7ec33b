#!/bin/sh
# Run once by the image of PostgreSQL: a role and a schema for each owner, neither of which sees the other's.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -d countersign -v identity="$IDENTITY_PASSWORD" -v gateway="$GATEWAY_PASSWORD" <<'SQL'
CREATE ROLE identity LOGIN PASSWORD :'identity';
CREATE ROLE gateway LOGIN PASSWORD :'gateway';
CREATE SCHEMA identity AUTHORIZATION identity;
CREATE SCHEMA gateway AUTHORIZATION gateway;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
