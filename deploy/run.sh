#!/bin/sh
# run.sh: what `make run` does. Installs what is missing to build, builds, writes ./run/config.toml at the first start,
# and becomes the server, which says where it is, how to join and how to stop. Settings for that first start:
#
#   ADDRESS=   name or address that clients will use; default: this machine's private address, else 127.0.0.1
#   PORT=      its port; default 8080, or 80 when ADDRESS is public
set -eu
cd "$(dirname "$0")/.."
top=$(pwd)
conf=$top/run/config.toml

sh deploy/deps.sh build
[ -x build/release/fairlead ] || echo "make run: building, which takes about a minute the first time"
env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s -j"$(nproc)" all

is_private() {
	case $1 in
	10.* | 192.168.* | 127.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].* | localhost) return 0 ;;
	esac
	return 1
}

private_address() {
	for a in $(hostname -I 2>/dev/null); do
		if is_private "$a"; then
			echo "$a"
			return
		fi
	done
	echo 127.0.0.1
}

# quoted "a" "b" -> ["a", "b"]
toml_list() {
	printf '['
	sep=
	for x in "$@"; do
		printf '%s"%s"' "$sep" "$x"
		sep=', '
	done
	printf ']'
}

write_config() {
	address=${ADDRESS:-$(private_address)}
	if is_private "$address"; then
		port=${PORT:-8080}
		why="plain HTTP on loopback and private addresses; DERP always speaks TLS, with a self-made certificate that clients pin"
		url=http://$address:$port
		listen=$(toml_list "$address:$port")
		[ "$address" = 127.0.0.1 ] || [ "$address" = localhost ] || listen=$(toml_list "127.0.0.1:$port" "$address:$port")
		[ "$address" != localhost ] || listen=$(toml_list "127.0.0.1:$port")
		bind=$address
		[ "$address" != localhost ] || bind=127.0.0.1
		relay=$(toml_list "$bind:8443")
	else
		port=${PORT:-80}
		relay=$(toml_list "0.0.0.0:443" "[::]:443")
		why="/key on plain HTTP, everything else also with a self-made certificate on 443"
		url=http://$address
		[ "$port" = 80 ] || url=$url:$port
		listen=$(toml_list "0.0.0.0:$port" "[::]:$port")
		bind=0.0.0.0
	fi
	cat <<T
# Written by the first \`make run\`; yours to edit. Every key with its meaning: config.example.toml.
# $why
server_url = "$url"
listen_addr = $listen
unix_socket = "$top/run/fairlead.sock"

[database]
path = "$top/run/fairlead.db"

[derp.server]
enabled = true
listen_addr = $relay
stun_listen_addr = "$bind:3478"
stun_second_port = 3479

[dns]
magic_dns = true
base_domain = "tail.internal"
override_local_dns = false
T
}

if [ ! -e "$conf" ]; then
	mkdir -p run || {
		echo "make run: cannot make the folder $top/run" >&2
		exit 1
	}
	chmod 0700 run
	write_config >"$conf.new"
	mv "$conf.new" "$conf"
fi
exec build/release/fairlead serve --config "$conf"
