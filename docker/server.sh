#!/bin/bash
# The containers of compose.yaml. server.sh start: choose what the environment asks for, make what
# secrets are missing, build, start, print the addresses. server.sh stop ends them and keeps the
# volumes; server.sh resume starts again what start chose, as it was built; anything else goes to `docker compose` with what start chose: server.sh logs -f worker.
# shellcheck disable=SC2034 # what compose.yaml names is written to chosen.env by name
set -eu
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
kept=${AZLON_VAR:-$(dirname "$here")/var}/docker
case $kept in /*) ;; *) kept=$PWD/$kept ;; esac
cmd=${1:-}

say() { printf '%s\n' "$*"; }
die() { printf 'start-server: %s\n' "$*" >&2; exit 2; }
given() { [ -n "${1//[[:space:]]/}" ]; }

# ---- what is asked for ------------------------------------------------------
profiles=() scale=()

# Places, ports and files that a container has of its own, or cannot have (a box's share of CPU wants
# control groups): what would be ignored without a word.
never="AZLON_TLS_PORT AZLON_LOCAL_PORT AZLON_SECRET_FILE AZLON_RECORDINGS AZLON_AGENT AZLON_RECORD
 AZLON_REPLAY_FAULTS AZLON_CGROUP AZLON_BWRAP AZLON_LOG AZLON_WEBHOOK_LOCAL AZLON_BOX_CPUS_PCT
 AZLON_TEMPLATES_DIR AZLON_WHEELS AZLON_SANDBOX_DOMAIN AZLON_PORTS_SOCKET AZLON_S3_CA_FILE
 AZLON_RESTACK_CA_FILE E2B_DEBUG FIREBASE_AUTH_EMULATOR_HOST"
fit() {
	local v
	for v in $never; do
		! given "${!v:-}" || die "$v is not for containers: README.md says what is"
	done
	[ "${AZLON_STORE:-s3}" = s3 ] || die "AZLON_STORE=$AZLON_STORE is not for containers: without MINIO_ENDPOINT files are in the container minio"
}

identity() {
	if given "${FIREBASE_PROJECT_ID:-}"; then : "${AZLON_IDENTITY:=firebase}"; fi
	: "${AZLON_IDENTITY:=keys}"
	case $AZLON_IDENTITY in
	keys) ;;
	firebase) given "${FIREBASE_PROJECT_ID:-}" || die "AZLON_IDENTITY=firebase needs FIREBASE_PROJECT_ID, which is not set" ;;
	*) die "AZLON_IDENTITY is $AZLON_IDENTITY, which believes what a caller says it is and is for loopback only;" \
	    "set FIREBASE_PROJECT_ID, or AZLON_IDENTITY=keys for API keys" ;;
	esac
}

outside() { # the tunnel, if that is what the address is
	local name
	: "${EXTERNAL_BACKEND_URL:=http://localhost:${AZLON_PORT:-8000}}"
	EXTERNAL_BACKEND_URL=${EXTERNAL_BACKEND_URL%/}
	case $EXTERNAL_BACKEND_URL in
	https://*.ts.net)
		name=${EXTERNAL_BACKEND_URL#https://}
		TS_HOSTNAME=${name%%.*}
		is_said TS_AUTHKEY || die "$EXTERNAL_BACKEND_URL is Tailscale's: TS_AUTHKEY (or TS_AUTHKEY_FILE) is missing"
		: "${USE_EXTERNAL_MINIO:=true}" "${MINIO_EXTERNAL_ENDPOINT:=$EXTERNAL_BACKEND_URL:8443}"
		profiles+=(--profile funnel)
		;;
	*)
		! is_said TS_AUTHKEY ||
		    die "TS_AUTHKEY is set: EXTERNAL_BACKEND_URL must say what Tailscale calls this host, https://azlon.<tailnet>.ts.net"
		;;
	esac
}

store() {
	if given "${MINIO_ENDPOINT:-}"; then
		scale+=(--scale minio=0)
		given "${MINIO_ROOT_USER:-}" || die "MINIO_ENDPOINT is set: MINIO_ROOT_USER is missing"
		is_said MINIO_ROOT_PASSWORD || die "MINIO_ENDPOINT is set: MINIO_ROOT_PASSWORD (or MINIO_ROOT_PASSWORD_FILE) is missing"
	fi
}

engine() {
	[ "${AZLON_ENGINE:-restack}" = restack ] ||
	    die "AZLON_ENGINE=$AZLON_ENGINE keeps its journal for the processes of one host, not of containers; leave it out, or use make start"
	if given "${RESTACK_ENGINE_ADDRESS:-}" || given "${RESTACK_TEMPORAL_ADDRESS:-}"; then
		scale+=(--scale engine=0)
		: "${RESTACK_ENGINE_ADDRESS:=}" # beside the other it would be the HTTP side
	elif is_said RESTACK_ENGINE_API_KEY; then
		die "RESTACK_ENGINE_API_KEY is set: RESTACK_ENGINE_ADDRESS is missing"
	fi
	RESTACK_ENGINE_API_KEY_FILE=$(in_container restack_engine_api_key)
}

sandbox() {
	if [ -z "${AZLON_SANDBOX:-}" ]; then
		AZLON_SANDBOX=local
		! is_said E2B_API_KEY || AZLON_SANDBOX=e2b
	fi
	case $AZLON_SANDBOX in
	local) E2B_API_KEY_FILE=/run/secrets/sandbox_key E2B_API_URL='' E2B_SANDBOX_URL=''; profiles+=(--profile sandbox) ;;
	e2b)
		is_said E2B_API_KEY || die "AZLON_SANDBOX=e2b: E2B_API_KEY (or E2B_API_KEY_FILE) is missing"
		E2B_API_KEY_FILE=/run/secrets/e2b_api_key
		;;
	*) die "AZLON_SANDBOX: '$AZLON_SANDBOX' is neither local nor e2b" ;;
	esac
}

model() {
	OPENAI_API_KEY_FILE=$(in_container openai_api_key)
	if given "${ANTHROPIC_API_KEY:-}" && ! given "${OPENAI_BASE_URL:-}$OPENAI_API_KEY_FILE"; then
		die "ANTHROPIC_API_KEY is set, but this build speaks OpenAI's protocol only: set OPENAI_API_KEY or OPENAI_BASE_URL"
	fi
	case ${OPENAI_BASE_URL:-} in
	*//localhost[:/]*|*//127.*)
		die "OPENAI_BASE_URL: in a container that is the container itself; say host.docker.internal for this host" ;;
	esac
}

cpus() { # a limit above what the engine's host has is an error
	local n
	n=$(docker info --format '{{.NCPU}}' 2>/dev/null) || n=
	case $n in ''|0|*[!0-9]*) n=$(nproc) ;; esac
	: "${AZLON_CPUS:=$((n < 2 ? n : 2))}" "${AZLON_BOX_CPUS:=$((n < 4 ? n : 4))}"
}

# ---- secrets: one file each, in a directory that only you enter; a container has those it is given ----
hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
in_container() { [ ! -s "$kept/secrets/$1" ] || printf /run/secrets/%s "$1"; }
said=' ' renew=
is_said() { case $said in *" $1 "*) ;; *) return 1 ;; esac; }
put() { # name text: in place, since containers hold the file and not its name
	local to=$kept/secrets/$1
	[ ! -e "$to" ] || [ "$(cat "$to")" != "$2" ] || return 0
	[ ! -e "$to" ] || { renew=yes; chmod 0600 "$to"; }
	printf '%s' "$2" >"$to"
	chmod 0444 "$to" # it is another user in its container
}
secrets() {
	local v f text
	mkdir -p "$kept/secrets"
	chmod 0700 "$kept" "$kept/secrets"
	[ "${RESTACK_ENGINE_API_KEY:-}" != None ] || unset RESTACK_ENGINE_API_KEY
	for v in MINIO_ROOT_PASSWORD RESTACK_ENGINE_API_KEY OPENAI_API_KEY E2B_API_KEY TS_AUTHKEY; do
		text=${!v:-} f=${v}_FILE
		if ! given "$text" && given "${!f:-}"; then text=$(cat "${!f}") || die "$f: ${!f} cannot be read"; fi
		if given "$text"; then put "${v,,}" "$text"; said="$said$v "
		elif [ "$v" != MINIO_ROOT_PASSWORD ]; then put "${v,,}" ''; fi # the one of our MinIO stays
		unset "$v"
	done
	[ -s "$kept/secrets/minio_root_password" ] || put minio_root_password "$(hex 20)"
	[ -s "$kept/secrets/sandbox_key" ] || put sandbox_key "e2b_$(hex 20)"
}

choose() {
	fit
	secrets
	identity
	outside
	store
	engine
	sandbox
	model
	cpus
	AZLON_SECRETS=$kept/secrets
	AZLON_REVISION=$(git -C "$here" rev-parse --short HEAD 2>/dev/null) || AZLON_REVISION=unknown
	local v
	for v in $(grep -o '\${[A-Z0-9_]*' "$here/compose.yaml" | tr -d '${' | sort -u); do
		[ -z "${!v+set}" ] || printf "%s='%s'\n" "$v" "${!v//\'/}"
	done >"$kept/chosen.env"
	printf '%s' "${profiles[@]:+"${profiles[*]}"}" >"$kept/profiles"
	printf '%s' "${scale[@]:+"${scale[*]}"}" >"$kept/scale"
}

# ---- docker -----------------------------------------------------------------
docker_there() {
	command -v docker >/dev/null || die "docker is not installed; make run needs no container"
	docker compose version >/dev/null 2>&1 || die "docker has no 'compose': install its plugin (Debian 13: docker-compose, elsewhere docker-compose-plugin)"
	docker info >/dev/null 2>&1 || die "the docker daemon does not answer: is it running, and may $(id -un) use it?"
}
compose() {
	local p
	[ -r "$kept/chosen.env" ] || die "nothing was started from here yet: make start-server"
	read -ra p <"$kept/profiles" || :
	[ -z "${every:-}" ] || p=(--profile sandbox --profile funnel)
	# what start chose, whatever this shell has
	env -i PATH="$PATH" HOME="${HOME:-/}" ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} ${TERM:+TERM="$TERM"} \
	    docker compose --project-name azlon --env-file "$kept/chosen.env" --file "$here/compose.yaml" ${p[@]:+"${p[@]}"} "$@"
}

unchosen() { # what an earlier choice started and this one does not ask for: most of all no tunnel stays open
	case " ${profiles[*]:-} " in *" sandbox "*) ;; *) every=yes compose rm --stop --force sandbox ;; esac
	case " ${profiles[*]:-} " in *" funnel "*) ;; *) every=yes compose rm --stop --force tailscale ;; esac
}

start() {
	choose
	docker_there
	unchosen >/dev/null 2>&1 || die "what an earlier start left could not be ended: docker/server.sh ps"
	# who has read a secret that is another now starts anew
	compose up --detach --build --wait --wait-timeout 600 ${renew:+--force-recreate} ${scale[@]:+"${scale[@]}"} || {
		compose ps -a >&2
		die "not everything came up, see above; what a service says: docker/server.sh logs SERVICE"
	}
	say "page and API   http://localhost:${AZLON_PORT:-8000}/"
	case " ${profiles[*]:-} " in *" funnel "*)
		say "for everybody  $EXTERNAL_BACKEND_URL/ and links at $MINIO_EXTERNAL_ENDPOINT/" ;;
	esac
	say "who may call   $AZLON_IDENTITY${FIREBASE_PROJECT_ID:+ ($FIREBASE_PROJECT_ID)}; an API key: docker/server.sh exec files azlon keys create --user alice --scopes all"
	say "code runs      $AZLON_SANDBOX sandboxes"
	given "${OPENAI_BASE_URL:-}$OPENAI_API_KEY_FILE" || say "no model       only recording/… runs: set OPENAI_API_KEY or OPENAI_BASE_URL"
	say "is it ready?   curl http://localhost:${AZLON_PORT:-8000}/run_workflow/health/ready"
	say "logs, end      docker/server.sh logs -f, docker/server.sh stop"
}

# An engine that begins starts its containers all at once; who is earlier than pod has no network to
# join and is not tried again. So whoever starts an engine (the host's boot) has this done after it.
resume() {
	docker_there
	local s=()
	[ ! -r "$kept/scale" ] || read -ra s <"$kept/scale" || :
	compose up --detach --no-build --wait --wait-timeout 600 ${s[@]:+"${s[@]}"}
}

case $cmd in
start) start ;;
resume) resume ;;
check) choose ;; # all that needs no docker
stop) docker_there; every=yes compose down ;;
'') echo "usage: docker/server.sh start|resume|stop|check|<docker compose command>" >&2; exit 2 ;;
*) docker_there; compose "$@" ;;
esac
