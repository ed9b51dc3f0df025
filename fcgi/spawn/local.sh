# shellcheck shell=bash disable=SC2154
# Sourced by stack.sh, whose names it uses. A server of an outside service that the stack brings
# itself, for trying things out: temporal.sh and minio.sh say which, here is how. It runs as the
# user of our processes, with an environment of its own, and starts before they do.

given() { [ -n "${1//[[:space:]]/}" ]; }
off() { # a value that means no
	case ${1//[[:space:]]/} in
	''|0|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff]) return 0 ;;
	esac
	return 1
}

# Half of what names a server of somebody's own: it would be ignored without a word.
belong() { # what it is, the variable that would name it, variables that must not be there
	local what=$1 at=$2 v; shift 2
	for v; do
		! given "${!v:-}" || die "$v belongs to $what of yours, so $at must name it; unset $v for a local server"
	done
}

local_program() { # name, variable that may name it, where it is otherwise, where setup.sh makes it: prints the path
	local p d
	if given "${!2:-}"; then
		p=$(command -v "${!2}") || die "$2: ${!2} is no program"
		p=$(readlink -f "$p")
	elif [ -x "$3" ]; then
		p=$3
	else
		"$spawn/setup.sh" "$1" "$tools/$1" >&2 || exit 1
		p=$tools/$1/$4
	fi
	if ! as $u_app test -x "$p" 2>/dev/null; then
		[ "$me" = 0 ] || die "$2: $p is no program"
		d=/var/lib/azlon/$(id_of "$here")
		mkdir -p "$d/bin"
		chmod 755 /var/lib/azlon "$d" "$d/bin"
		cmp -s "$p" "$d/bin/$1" || cp -L --remove-destination "$p" "$d/bin/$1"
		chmod 755 "$d/bin/$1"
		p=$d/bin/$1
	fi
	printf '%s' "$p"
}

local_ports() { # name, the variable that would name another, variables of its ports: before anything is started
	local n=$1 at=$2 p; shift 2
	if alive "$n"; then return 0; fi
	for p; do
		is_free "${!p}" || die "port ${!p} is taken by another program; set $p to a free one" \
		    "(or $at, if that is yours)"
	done
}

local_as() { # variables of its own…: sets $run_as, how its programs are run
	run_as=()
	[ "$me" != 0 ] ||
	    run_as=(setpriv --reuid "$u_app" --regid "$(id -gn "$u_app")" --clear-groups --inh-caps=-all)
	run_as+=(env -i PATH="$PATH" "$@")
}

local_wait() { # name, what it is, "new" if nothing of this stack ran before, a command that tells when it is there
	local n=$1 what=$2 new=$3 end=$((SECONDS + 60)); shift 3
	until "$@"; do
		if ! alive "$n" || [ "$SECONDS" -ge "$end" ]; then
			say "azlon: the $what does not come up:" >&2
			tail -n 5 "$AZLON_VAR/log/$n.log" >&2
			[ "$new" != new ] || stop_all
			exit 1
		fi
		sleep 0.2
	done
}
