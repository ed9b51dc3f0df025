#!/bin/bash
# Every shipped nginx file, filled in as the start script does, accepted by nginx -t.
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{nginx/tmp,run,log,store,tls}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -keyout "$tmp/tls/server.key" -out "$tmp/tls/server.pem" 2>/dev/null
for f in nginx/*.conf; do
	sed -e "s|@VAR@|$tmp|g; s|@RUN@|$tmp/run|g; s|@PORT@|18000|; s|@TLS_PORT@|18444|; s|@LISTEN_HTTP2@| http2|; s|@HTTP2@||; s|@LOCAL_PORT@|18090|; s|@HTML@|$PWD/nginx/html|" \
	    -e "s|@CORS@|\"http://localhost:3000\" \$http_origin;|; s|@RATE@|50|; s|@BURST@|100|; s|@CONNS@|100|; s|@STREAMS@|100|" \
	    -e "s|@READ_TIMEOUT@|3610|; s|@UPLOAD_MIB@|1025|" "$f" >"$tmp/nginx/$(basename "$f")"
done
if grep -n '^[^#]*@[A-Z_]*@' "$tmp"/nginx/*.conf; then exit 1; fi
nginx -t -q -p "$tmp/nginx" -c "$tmp/nginx/nginx.conf" -e "$tmp/log/error.log"
