#!/bin/sh
# Base images for `make docker-test` where no registry can be reached: Debian trees under names of our own.
# Needs root, debootstrap and a Docker engine; some minutes, once.
set -eu
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

pack() { # tree, name, changes…
    tree=$1 name=$2; shift 2
    cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
    tar -C "$tree" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./usr/share/doc \
        --exclude=./usr/share/locale --exclude=./usr/share/man -c . | docker import "$@" - "$name"
}

debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$here/python"
pack "$here/python" crema-test/python \
    -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt UV_NATIVE_TLS=1 UV_SYSTEM_CERTS=1'

debootstrap --variant=minbase --include=ca-certificates,postgresql-15,caddy,locales,libcap2-bin bookworm "$here/services"
chroot "$here/services" sh -c 'rm -rf /var/lib/postgresql/15 && setcap -r /usr/bin/caddy || true'
# What the official PostgreSQL image does at its first start, as far as compose.yaml relies on it.
cat > "$here/services/usr/local/bin/start-postgres" <<'E2'
#!/bin/sh
set -eu
export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
mkdir -p "$PGDATA" /run/postgresql && chown -R postgres /var/lib/postgresql /run/postgresql
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password && chown postgres /tmp/password
    as initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    as pg_ctl --wait --options="-c listen_addresses=" start
    as createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do as sh "$script"; done
    as pg_ctl --wait stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -c listen_addresses='*'
E2
chmod +x "$here/services/usr/local/bin/start-postgres"
pack "$here/services" crema-test/postgres -c 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin' -c 'CMD ["start-postgres"]'
pack "$here/services" crema-test/caddy -c 'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile"]'
