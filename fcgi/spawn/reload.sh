# shellcheck shell=bash disable=SC2154
# Sourced by stack.sh, whose names it uses: a new generation of processes beside the one that
# serves. Each new one listens on a socket of its own until it accepts, and that takes the place of
# the old one's by rename, so that nginx never finds none there. The old one then ends what it has
# in hand, be it an hour's download, and whoever connected before.

pool="replay run_workflow run_workflow-wait files files-archive"

former() { # names under which earlier generations that are not gone yet have their files
	local f
	for f in "$AZLON_VAR"/run/*.old-*.pid; do
		[ -e "$f" ] || continue
		f=${f##*/} f=${f%.pid}
		if alive "$f"; then printf '%s\n' "$f"; else rm -f "$AZLON_VAR/run/$f.pid" "$AZLON_VAR/run/$f.start"; fi
	done
}
renamed() { # part, its other name
	mv -f "$AZLON_VAR/run/$1.pid" "$AZLON_VAR/run/$2.pid"
	mv -f "$AZLON_VAR/run/$1.start" "$AZLON_VAR/run/$2.start"
}
accepts() { # part: has its process come to where it takes connections? It makes a signalfd there
	local p q; p=$(cat "$AZLON_VAR/run/$1.pid")
	for q in "$p" $(pgrep -P "$p"); do
		# shellcheck disable=SC2010
		if ls -l "/proc/$q/fd" 2>/dev/null | grep -q signalfd; then return 0; fi
	done
	return 1
}

# Sets $old to the names of what serves now; on failure all is as before.
generation() {
	local n i bad=''
	old='' i=0
	for n in $pool; do
		i=$((i + 1)) # the whole name would be too long for a socket
		if alive "$n"; then
			old="$old $n.old-$(cat "$AZLON_VAR/run/$n.pid")"
			renamed "$n" "${old##* }"
		fi
		part "$n" "$AZLON_VAR/run/next$i.sock"
	done
	for n in $pool; do
		for i in $(seq 100); do
			if accepts "$n"; then continue 2; fi
			alive "$n" || break
			sleep 0.1
		done
		bad=$n
		break
	done
	i=0
	for n in $pool; do
		i=$((i + 1))
		if [ -z "$bad" ]; then mv -f "$AZLON_VAR/run/next$i.sock" "$AZLON_VAR/run/$n.sock"
		else renamed "$n" "$n.failed"; fi
	done
	[ -n "$bad" ] || return 0
	say "azlon: the new $bad does not serve, so all goes on as before:" >&2
	tail -n 5 "$AZLON_VAR/log/$bad.log" >&2
	for n in $old; do renamed "$n" "${n%%.old-*}"; done
	# shellcheck disable=SC2046,SC2086
	ended $(printf '%s.failed ' $pool)
	rm -f "$AZLON_VAR"/run/next?.sock
	return 1
}

conf_try() { # nginx's files anew, beside those in force: does nginx take them?
	local d=$AZLON_VAR/nginx/next
	rm -rf "$d"
	dir 0750 "$(id -un)" "$(id -gn $u_web)" "$d"
	conf_nginx "$d" "$share"/nginx/*.conf
	as $u_web nginx -t -q -p "$AZLON_VAR/nginx" -c "$d/nginx.conf" -e "$AZLON_VAR/log/nginx-error.log" ||
	    die "nginx refuses its new configuration; nothing was changed"
}
conf_take() { # in their place; 1 when nothing changed
	local d=$AZLON_VAR/nginx/next f changed=1
	for f in "$d"/*.conf; do
		cmp -s "$f" "$AZLON_VAR/nginx/${f##*/}" || { mv -f "$f" "$AZLON_VAR/nginx/"; changed=0; }
	done
	rm -rf "$d"
	return $changed
}

reload() {
	local now p old='' n nginx='' run
	users
	relocate
	sane
	temporal_choose
	minio_choose
	mine
	[ -d "$AZLON_VAR/run" ] || die "nothing runs here; use start"
	exec 9>"$AZLON_VAR/run/.lock"
	flock -w 60 9 || die "another start or stop is under way"
	rebooted
	for n in nginx ${temporal:+temporal} ${minio:+minio}; do
		alive "$n" || die "$n does not run here; use start"
	done
	state
	minio_state
	as $u_app "$bin/worker" --check-config || exit 1
	# the sandbox process takes its sandboxes with it, so only for a reason; runs wait, and go on
	now=$(fingerprint) run=$AZLON_VAR/run
	conf_try
	cgroups_choose
	descriptors
	generation || exit 1
	if conf_take || [ "$AZLON_VAR/tls/server.pem" -nt "$run/fingerprint" ]; then nginx=1; fi
	if alive worker; then
		p=worker.old-$(cat "$AZLON_VAR/run/worker.pid")
		renamed worker "$p"
		old="$old $p"
	fi
	part worker
	[ "$(cat "$AZLON_VAR/run/fingerprint" 2>/dev/null)" = "$now" ] || ended sandbox
	part sandbox
	printf '%s' "$now" >"$AZLON_VAR/run/fingerprint"
	# who looked the old socket's name up a moment ago has connected by now
	sleep 0.2
	for p in $old; do kill -QUIT "$(cat "$AZLON_VAR/run/$p.pid")" 2>/dev/null || :; done
	[ -z "$nginx" ] || kill -HUP "$(cat "$AZLON_VAR/run/nginx.pid")"
	ready ""
}
