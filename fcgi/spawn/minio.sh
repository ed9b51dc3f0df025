# shellcheck shell=bash disable=SC2154
# Sourced by stack.sh, whose names it uses. AZLON_STORE=s3 without an endpoint means a MinIO of
# the stack's own, for trying the store out. AZLON_MINIO is its program (none: setup.sh builds
# one), AZLON_MINIO_PORT and AZLON_MINIO_CONSOLE_PORT where it listens. Its files are in
# $AZLON_VAR/minio, its password is made at the first start.

minio= # the program, if this stack has such a server
minio_user=azlon

minio_choose() { # is one wanted? Then the program, and what our processes must know
	[ "${AZLON_STORE:-}" = s3 ] || return 0
	! given "${MINIO_ENDPOINT:-}" || return 0
	belong "a server" MINIO_ENDPOINT MINIO_ROOT_USER MINIO_ROOT_PASSWORD MINIO_ROOT_PASSWORD_FILE
	off "${MINIO_USE_SSL:-}" ||
	    die "MINIO_USE_SSL: the local MinIO speaks no TLS; unset it, or name a server in MINIO_ENDPOINT"
	: "${AZLON_MINIO_PORT:=9000}" "${AZLON_MINIO_CONSOLE_PORT:=9001}"
	is_port AZLON_MINIO_PORT AZLON_MINIO_CONSOLE_PORT
	unset MINIO_ROOT_PASSWORD
	MINIO_ENDPOINT=127.0.0.1:$AZLON_MINIO_PORT MINIO_ROOT_USER=$minio_user
	MINIO_ROOT_PASSWORD_FILE=$AZLON_VAR/secret/minio.password
	export MINIO_ENDPOINT MINIO_ROOT_USER MINIO_ROOT_PASSWORD_FILE AZLON_MINIO_PORT AZLON_MINIO_CONSOLE_PORT
	# the tests have one
	minio=$(local_program minio AZLON_MINIO "$here/build/minio/bin/minio" bin/minio)
}

minio_ports() {
	[ -z "$minio" ] || local_ports minio MINIO_ENDPOINT AZLON_MINIO_PORT AZLON_MINIO_CONSOLE_PORT
}

minio_state() { # before the configuration is looked at
	[ -z "$minio" ] || secret "$MINIO_ROOT_PASSWORD_FILE" $u_app "$(hex 20)"
}

minio_start() { # new, if nothing of this stack ran before
	local d=$AZLON_VAR/minio
	[ -n "$minio" ] || return 0
	if alive minio; then return 0; fi
	dir 0700 $u_app "$(id -gn $u_app)" "$d"
	printf '%s %s\n' "$AZLON_MINIO_PORT" "$AZLON_MINIO_CONSOLE_PORT" >"$AZLON_VAR/run/minio.ports"
	local_as HOME="$d" MINIO_ROOT_USER="$minio_user" MINIO_ROOT_PASSWORD_FILE="$MINIO_ROOT_PASSWORD_FILE" \
	    MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off
	[ -z "${AZLON_S3_REGION:-}" ] || run_as+=(MINIO_SITE_REGION="$AZLON_S3_REGION")
	launch minio "${run_as[@]}" "$minio" server --quiet --address "127.0.0.1:$AZLON_MINIO_PORT" \
	    --console-address "127.0.0.1:$AZLON_MINIO_CONSOLE_PORT" --certs-dir "$d/certs" "$d/data"
	local_wait minio MinIO "$1" minio_there
	minio_says
}
minio_there() { # its "ready" only says that the process is
	curl -sf -m 5 -o /dev/null "http://127.0.0.1:$AZLON_MINIO_PORT/minio/health/cluster"
}

minio_says() {
	local port ui
	read -r port ui <"$AZLON_VAR/run/minio.ports" || return 0
	say "files          MinIO at http://127.0.0.1:$port, its page http://127.0.0.1:$ui/ (user $minio_user," \
	    "password in $AZLON_VAR/secret/minio.password)"
}
