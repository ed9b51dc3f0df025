#!/bin/bash
# Every shipped nginx file, filled in as the start script does, accepted by nginx -t: with the
# store in a directory, behind HTTP and behind HTTPS; in a configuration of a host's own, and in those
# of the containers.
set -eu
PATH=$PATH:/usr/sbin # nginx is there, and an ordinary user does not look there
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{nginx/tmp,run,log,store,tls}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -keyout "$tmp/tls/server.key" -out "$tmp/tls/server.pem" 2>/dev/null
accepted() { # scheme, server, host, TLS lines of the store
	local f
	for f in nginx/*.conf; do
		sed -e "s|@VAR@|$tmp|g; s|@RUN@|$tmp/run|g; s|@PORT@|18000|; s|@TLS_PORT@|18444|; s|@LISTEN_HTTP2@| http2|; s|@HTTP2@||; s|@LOCAL_PORT@|18090|; s|@HTML@|$PWD/nginx/html|" \
		    -e "s|@CORS@|\"~^\\\\Qhttp://localhost:3000\\\\E\$\" \$http_origin;|; s|@RATE@|50|; s|@BURST@|100|; s|@CONNS@|100|; s|@STREAMS@|100|; s|@UPLOADS@|8|" \
		    -e "s|@S3_SCHEME@|$1|; s|@S3_SERVER@|$2|; s|@S3_HOST@|$3|; s|@S3_TLS@|$4|" \
		    -e "s|@READ_TIMEOUT@|3610|; s|@UPLOAD_MIB@|1025|" "$f" >"$tmp/nginx/$(basename "$f")"
	done
	if grep -n '^[^#]*@[A-Z_0-9]*@' "$tmp"/nginx/*.conf; then exit 1; fi
	# the server for links is nobody's by default
	sed -i 's|^    # the stand-ins.*|    server { listen 127.0.0.1:18900; include azlon_minio.conf; }|' "$tmp/nginx/nginx.conf"
	grep -q azlon_minio.conf "$tmp/nginx/nginx.conf"
	nginx -t -q -p "$tmp/nginx" -c "$tmp/nginx/nginx.conf" -e "$tmp/log/error.log"
	# a file that none of the others includes would have been looked at by nobody
	nginx -T -q -p "$tmp/nginx" -c "$tmp/nginx/nginx.conf" -e "$tmp/log/error.log" >"$tmp/all"
	for f in nginx/*.conf; do
		grep -qxF "# configuration file $tmp/$f:" "$tmp/all" || { echo "$f is included nowhere"; exit 1; }
	done
	for f in docker/*.conf; do
		sed -e "s|@TMP@|$tmp/nginx/tmp|; s|^pid .*|pid $tmp/pid;|; s|/dev/stdout|$tmp/log/access.log|" "$f" >"$tmp/nginx/${f##*/}"
		nginx -t -q -p "$tmp/nginx" -c "$tmp/nginx/${f##*/}" -e "$tmp/log/error.log"
	done
	# as Debian's nginx.conf has it, and what people add there; with all of ours, and with one server alone
	host 'server { listen 127.0.0.1:18000; access_log "'"$tmp"'/log/azlon.log" azlon; include azlon_server.conf; }
	    server { listen 127.0.0.1:18001; access_log "'"$tmp"'/log/azlon.log" azlon; include azlon_minio.conf; }
	    server { listen 127.0.0.1:18090; server_name localhost 127.0.0.1; include azlon_local.conf; }
	    server { listen 127.0.0.1:18090; server_name "~^[0-9]{1,5}-[0-9a-z]+\.x\."; include azlon_ports.conf; }'
	for f in server minio local ports; do host "server { listen 127.0.0.1:18000; include azlon_$f.conf; }"; done
}
host() { # servers
	cat >"$tmp/nginx/host.conf" <<-END
	pid "$tmp/pid"; error_log "$tmp/log/error.log";
	events { }
	http {
	    sendfile on; tcp_nopush on; types_hash_max_size 2048; server_tokens off; keepalive_timeout 65; client_max_body_size 8m;
	    client_header_timeout 60; client_body_timeout 60; large_client_header_buffers 4 8k; reset_timedout_connection on;
	    types { text/html html; } default_type text/plain; gzip on; access_log "$tmp/log/access.log";
	    ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on;
	    client_body_temp_path "$tmp/nginx/tmp/b"; fastcgi_temp_path "$tmp/nginx/tmp/f"; proxy_temp_path "$tmp/nginx/tmp/p";
	    uwsgi_temp_path "$tmp/nginx/tmp/u"; scgi_temp_path "$tmp/nginx/tmp/s";
	    limit_req_status 444; limit_conn_status 444; limit_req_log_level error; limit_conn_log_level error;
	    include azlon_http.conf;
	    $1
	}
	END
	nginx -t -q -p "$tmp/nginx" -c "$tmp/nginx/host.conf" -e "$tmp/log/error.log"
}
accepted http "127.0.0.1:1 down" none ""
accepted http "[::1]:9000" "[::1]:9000" ""
accepted https 127.0.0.1:443 localhost "proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_ssl_verify on; proxy_ssl_verify_depth 4; proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_trusted_certificate \"$tmp/tls/server.pem\";"
