#!/bin/sh
# build.sh: makes web/dist, which the server embeds. Fetches the npm packages that package-lock.json names when they are not there; after
# that no network is needed. The lock is for builds of several flavours at once.
set -eu
cd "$(dirname "$0")"
. ../deploy/toolenv.sh
if ! node_can_build; then
	echo "web: the console is built by Node ${NODE_BUILD_MIN} or newer with npm, which this machine lacks." >&2
	echo "web: \`sh deploy/deps.sh build\` installs it (Debian 12: apt-get install nodejs npm)." >&2
	exit 1
fi
exec 9>.lock
flock 9
if ! cmp -s package-lock.json node_modules/.installed 2>/dev/null; then
	echo "web: installing the packages of web/package-lock.json"
	npm ci --silent --no-progress --prefer-offline --ignore-scripts || {
		echo "web: npm could not install the packages: is the npm registry reachable?" >&2
		exit 1
	}
	for p in vite preact typescript @codemirror/view; do
		[ -s "node_modules/$p/package.json" ] || { echo "web: npm installed no $p" >&2; exit 1; }
	done
	cp package-lock.json node_modules/.installed
fi
node scripts/contrast.mjs
rm -rf dist.new
node node_modules/vite/bin/vite.js build --outDir dist.new --logLevel warn
node scripts/compress.mjs dist.new
rm -rf dist
mv dist.new dist
