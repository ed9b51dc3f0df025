#!/bin/bash
# Who may include whom. Every #include of lib/ and fcgi/ is checked against this table;
# what the table does not name is refused. LINT_ROOT: another tree (the self-test).
cd "${LINT_ROOT:-$(dirname "$0")/../..}" || exit 2

# owner of each public header
declare -A owner=(
	[err]=base [str]=base [buf]=base [arena]=base [clock]=base [cond]=base [log]=base [path]=base
	[addr]=base [limits]=base [history]=base [draw]=base [trace]=base
	[json]=json [crypto]=crypto [http]=http [grpc]=http [conf]=conf [web]=web [multipart]=web [gzip]=web [auth]=auth [apikeys]=auth
	[archive]=archive [flow]=flow [work]=work [api]=api [box]=box [replay]=replay
	[engine]=engine [store]=store [ahead]=store [keys]=store [manifest]=store [llm]=llm
	[sandbox]=sandbox
)
ports="engine store llm sandbox"
# rooms whose public headers a room may include, besides its own
declare -A may=(
	[base]="" [http]="base crypto" [crypto]="base" [json]="base" [conf]="base"
	[archive]="base" [web]="base json" [flow]="base json"
	[auth]="base json crypto http"
	[engine]="base json http crypto" [store]="base json http crypto"
	[llm]="base json http crypto" [sandbox]="base json http crypto archive"
	[box]="base json crypto web" [replay]="base json crypto web"
	[work]="base json crypto flow $ports"
	[api]="base json crypto web auth archive flow $ports"
	[fcgi]="${owner[*]}"
)
# other people's libraries, each in one room
foreign() {
	case $1 in
	json-c/*) echo json ;;
	curl/*) echo http ;;
	openssl/*) echo crypto ;;
	fcgi*.h | fcgi*/*) echo web ;;
	archive.h | archive_entry.h) echo archive ;;
	sqlite3.h) echo engine ;;
	protobuf-c/*) echo engine ;;
	expat.h) echo store ;;
	zlib.h) echo web ;;
	seccomp.h) echo box ;;
	esac
}
# libc and the kernel's headers; a new name is added here on purpose
libc=" alloca assert byteswap complex ctype dirent dlfcn endian err errno fcntl fenv float
 fnmatch ftw getopt glob grp ifaddrs iconv inttypes langinfo libgen limits locale malloc math
 mntent netdb nl_types poll pthread pty pwd regex sched search semaphore setjmp signal
 spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string
 strings syslog tar termios threads time uchar ucontext unistd utime wchar wctype wordexp "
libc=" $(echo "$libc" | tr '\n' ' ') "

bad=0
say() { printf '%s: %s\n' "$1" "$2"; bad=1; }
within() { [[ " $2 " == *" $1 "* ]]; }

check() { # file line room header bracket
	local file=$1 at="$1:$2" room=$3 h=$4 kind=$5 name to
	if [[ $kind == '"' ]]; then
		to=$(realpath -m --relative-to=. "$(dirname "$file")/$h")
		case $to in
		lib/"$room"/* | fcgi/*) [[ $to == fcgi/* && $room != fcgi ]] || return 0 ;;
		"$O_GEN"/*) return 0 ;;
		esac
		say "$at" "\"$h\" is not a header of this room"
		return
	fi
	if [[ $h == azlon/* ]]; then
		name=${h#azlon/}; name=${name%.h}; to=${owner[$name]:-}
		if [[ -z $to ]]; then say "$at" "<$h> has no owner in the table"
		elif [[ $to != "$room" ]] && ! within "$to" "${may[$room]}"; then
			say "$at" "$room may not include $to (<$h>)"
		fi
		return
	fi
	to=$(foreign "$h")
	if [[ -n $to ]]; then
		if [[ $file == lib/include/* ]]; then say "$at" "<$h> in a public header"
		elif [[ $to != "$room" ]]; then say "$at" "<$h> belongs to $to, not $room"; fi
		return
	fi
	case $h in sys/* | netinet/* | arpa/* | net/* | linux/* | asm/*) return ;; esac
	within "${h%.h}" "$libc" || say "$at" "<$h> is not in the table"
}

O_GEN=${O_GEN:-build/gen}
while IFS=: read -r file n text; do
	[[ $text =~ ^[[:space:]]*\#[[:space:]]*include[[:space:]]*([\<\"])([^\>\"]+) ]] || {
		say "$file:$n" "an include that cannot be read: $text"; continue; }
	kind=${BASH_REMATCH[1]} h=${BASH_REMATCH[2]}
	case $file in
	lib/include/azlon/*) name=$(basename "$file" .h); room=${owner[$name]:-} ;;
	lib/*/*) room=${file#lib/}; room=${room%%/*} ;;
	fcgi/*) room=fcgi ;;
	*) room= ;;
	esac
	if [[ -z $room || -z ${may[$room]+x} ]]; then say "$file" "no room in the table"; continue; fi
	check "$file" "$n" "$room" "$h" "$kind"
done < <(find lib fcgi -name '*.[ch]' -type f -print0 | sort -z |
    xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include')
exit $bad
