# shellcheck shell=bash disable=SC2154
# Sourced by stack.sh, whose names it uses. AZLON_ENGINE=restack without an address means a
# Temporal server of the stack's own, for trying the engine out: everything on this host may
# steer it. AZLON_TEMPORAL is its program (none: setup.sh installs one), AZLON_TEMPORAL_PORT
# and AZLON_TEMPORAL_UI_PORT where it listens. Its runs are in $AZLON_VAR/temporal.

temporal= # the program, if this stack has such a server

temporal_choose() { # is one wanted? Then the program, and what our processes must know
	local key=${RESTACK_ENGINE_API_KEY:-}
	[ "${AZLON_ENGINE:-}" = restack ] || return 0
	if given "${RESTACK_ENGINE_ADDRESS:-}" || given "${RESTACK_TEMPORAL_ADDRESS:-}"; then return 0; fi
	[ "${key//[[:space:]]/}" != None ] || unset RESTACK_ENGINE_API_KEY
	belong "an engine" RESTACK_ENGINE_ADDRESS RESTACK_ENGINE_API_KEY RESTACK_ENGINE_API_KEY_FILE RESTACK_ENGINE_API_ADDRESS
	off "${AZLON_RESTACK_TLS:-}" ||
	    die "AZLON_RESTACK_TLS: the local Temporal server speaks no TLS; unset it, or name an engine in RESTACK_ENGINE_ADDRESS"
	: "${AZLON_TEMPORAL_PORT:=7233}" "${AZLON_TEMPORAL_UI_PORT:=8233}"
	is_port AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT
	unset RESTACK_TEMPORAL_ADDRESS
	RESTACK_ENGINE_ADDRESS=127.0.0.1:$AZLON_TEMPORAL_PORT
	: "${AZLON_RESTACK_ENDPOINTS:=false}" # it has no such routes, another engine may be on 6233
	export RESTACK_ENGINE_ADDRESS AZLON_RESTACK_ENDPOINTS AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT
	# the tests have one
	temporal=$(local_program temporal AZLON_TEMPORAL "$here/build/venv/bin/temporal" venv/bin/temporal)
}

temporal_ports() {
	[ -z "$temporal" ] || local_ports temporal RESTACK_ENGINE_ADDRESS AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT
}

temporal_start() { # new, if nothing of this stack ran before
	local d=$AZLON_VAR/temporal ns=${AZLON_RESTACK_NAMESPACE:-default}
	[ -n "$temporal" ] || return 0
	if alive temporal; then return 0; fi
	dir 0700 $u_app "$(id -gn $u_app)" "$d"
	printf '%s %s\n' "$AZLON_TEMPORAL_PORT" "$AZLON_TEMPORAL_UI_PORT" >"$AZLON_VAR/run/temporal.ports"
	# it needs no key
	local_as HOME="$d" TEMPORAL_VERSION_CHECK_DISABLED=1
	launch temporal "${run_as[@]}" "$temporal" server start-dev --ip 127.0.0.1 --port "$AZLON_TEMPORAL_PORT" \
	    --ui-port "$AZLON_TEMPORAL_UI_PORT" --db-filename "$d/temporal.db" --namespace "$ns" --search-attribute engineId=Text \
	    --log-level error --dynamic-config-value frontend.enableCancelWorkerPollsOnShutdown=true
	local_wait temporal "Temporal server" "$1" temporal_there "$ns"
	temporal_says
}
temporal_there() { # the last thing that it sets up
	"${run_as[@]}" "$temporal" operator search-attribute list --address "127.0.0.1:$AZLON_TEMPORAL_PORT" \
	    --namespace "$1" 2>/dev/null | grep -qw engineId
}

temporal_says() {
	local port ui
	read -r port ui <"$AZLON_VAR/run/temporal.ports" || return 0
	say "engine         Temporal at 127.0.0.1:$port, its page http://127.0.0.1:$ui/"
}
