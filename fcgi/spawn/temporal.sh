# shellcheck shell=bash disable=SC2154
# Sourced by stack.sh, whose names it uses. AZLON_ENGINE=restack without an address means a
# Temporal server of the stack's own, for trying the engine out: everything on this host may
# steer it. AZLON_TEMPORAL is its program (none: setup.sh installs one), AZLON_TEMPORAL_PORT
# and AZLON_TEMPORAL_UI_PORT where it listens. Its runs are in $AZLON_VAR/temporal.

temporal=      # the program, if this stack has such a server
temporal_as=() # how it is run: as whom, and with nothing of the caller's environment; it needs no key

given() { [ -n "${1//[[:space:]]/}" ]; }

temporal_choose() { # is one wanted? Then the program, and what our processes must know
	local v key=${RESTACK_ENGINE_API_KEY:-}
	[ "${AZLON_ENGINE:-}" = restack ] || return 0
	if given "${RESTACK_ENGINE_ADDRESS:-}" || given "${RESTACK_TEMPORAL_ADDRESS:-}"; then return 0; fi
	[ "${key//[[:space:]]/}" != None ] || unset RESTACK_ENGINE_API_KEY
	for v in RESTACK_ENGINE_API_KEY RESTACK_ENGINE_API_KEY_FILE RESTACK_ENGINE_API_ADDRESS; do
		! given "${!v:-}" ||
		    die "$v belongs to an engine of yours, so RESTACK_ENGINE_ADDRESS must name it; unset $v for a local server"
	done
	case ${AZLON_RESTACK_TLS:-} in
	''|0|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff]) ;;
	*) die "AZLON_RESTACK_TLS: the local Temporal server speaks no TLS; unset it, or name an engine in RESTACK_ENGINE_ADDRESS" ;;
	esac
	: "${AZLON_TEMPORAL_PORT:=7233}" "${AZLON_TEMPORAL_UI_PORT:=8233}"
	is_port AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT
	unset RESTACK_TEMPORAL_ADDRESS
	RESTACK_ENGINE_ADDRESS=127.0.0.1:$AZLON_TEMPORAL_PORT
	: "${AZLON_RESTACK_ENDPOINTS:=false}" # it has no such routes, another engine may be on 6233
	export RESTACK_ENGINE_ADDRESS AZLON_RESTACK_ENDPOINTS AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT
	temporal_program
}

temporal_program() {
	local d
	if given "${AZLON_TEMPORAL:-}"; then
		temporal=$(command -v "$AZLON_TEMPORAL") || die "AZLON_TEMPORAL: $AZLON_TEMPORAL is no program"
		temporal=$(readlink -f "$temporal")
	elif [ -x "$here/build/venv/bin/temporal" ]; then # the tests have one
		temporal=$here/build/venv/bin/temporal
	else
		"$spawn/setup.sh" temporal "$tool" || exit 1
		temporal=$tool/venv/bin/temporal
	fi
	if ! as $u_app test -x "$temporal" 2>/dev/null; then
		[ "$me" = 0 ] || die "AZLON_TEMPORAL: $temporal is no program"
		d=/var/lib/azlon/$(id_of "$here")
		mkdir -p "$d/bin"
		chmod 755 /var/lib/azlon "$d" "$d/bin"
		cmp -s "$temporal" "$d/bin/temporal" || cp -L --remove-destination "$temporal" "$d/bin/temporal"
		chmod 755 "$d/bin/temporal"
		temporal=$d/bin/temporal
	fi
}

temporal_ports() { # before anything is started
	local p
	[ -n "$temporal" ] || return 0
	if alive temporal; then return 0; fi
	for p in AZLON_TEMPORAL_PORT AZLON_TEMPORAL_UI_PORT; do
		is_free "${!p}" || die "port ${!p} is taken by another program; set $p to a free one" \
		    "(or RESTACK_ENGINE_ADDRESS, if that is your engine)"
	done
}

temporal_start() { # new, if nothing of this stack ran before
	local d=$AZLON_VAR/temporal ns=${AZLON_RESTACK_NAMESPACE:-default} end=$((SECONDS + 60))
	[ -n "$temporal" ] || return 0
	if alive temporal; then return 0; fi
	dir 0700 $u_app "$(id -gn $u_app)" "$d"
	printf '%s %s\n' "$AZLON_TEMPORAL_PORT" "$AZLON_TEMPORAL_UI_PORT" >"$AZLON_VAR/run/temporal.ports"
	[ "$me" != 0 ] ||
	    temporal_as=(setpriv --reuid "$u_app" --regid "$(id -gn "$u_app")" --clear-groups --inh-caps=-all)
	temporal_as+=(env -i PATH="$PATH" HOME="$d" TEMPORAL_VERSION_CHECK_DISABLED=1 "$temporal")
	launch temporal "${temporal_as[@]}" server start-dev --ip 127.0.0.1 --port "$AZLON_TEMPORAL_PORT" \
	    --ui-port "$AZLON_TEMPORAL_UI_PORT" --db-filename "$d/temporal.db" --namespace "$ns" --search-attribute engineId=Text \
	    --log-level error --dynamic-config-value frontend.enableCancelWorkerPollsOnShutdown=true
	# the last thing that it sets up
	until "${temporal_as[@]}" operator search-attribute list --address "127.0.0.1:$AZLON_TEMPORAL_PORT" \
	    --namespace "$ns" 2>/dev/null | grep -qw engineId; do
		if ! alive temporal || [ "$SECONDS" -ge "$end" ]; then
			say "azlon: the Temporal server does not come up:" >&2
			tail -n 5 "$AZLON_VAR/log/temporal.log" >&2
			[ "$1" != new ] || stop_all
			exit 1
		fi
		sleep 0.2
	done
	temporal_says
}

temporal_says() {
	local port ui
	read -r port ui <"$AZLON_VAR/run/temporal.ports" || return 0
	say "engine         Temporal at 127.0.0.1:$port, its page http://127.0.0.1:$ui/"
}
