#!/bin/sh
# Run once, by the database's first start: the role the application works as. What it may do, `crema migrate` grants.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set "password=$CREMA_APP_PASSWORD" <<'SQL'
CREATE ROLE crema_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SQL
