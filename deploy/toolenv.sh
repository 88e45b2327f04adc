# toolenv.sh: sourced by .ci/run, deploy/deps.sh and the suites that need Go or Node. The one place that knows where
# deploy/deps.sh puts a toolchain that this machine lacks: outside the source tree, so that fresh clones share it.
#
# After it, PATH leads to a Go of at least GO_MIN and a Node of at least NODE_MIN if the machine or the prefix has one.
GO_MIN=1.26
NODE_MIN=20
NODE_BUILD_MIN=18 # what builds the console; tests need NODE_MIN
FAIRLEAD_TOOLS=${FAIRLEAD_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fairlead-tools}

# version_at_least HAVE WANT, both like 1.26.3
version_at_least() {
	[ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

go_is_good() {
	version_at_least "$(go env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')" "$GO_MIN"
}

node_at_least() { # with npm, which Debian packages apart, and which works
	npm --version >/dev/null 2>&1 &&
		version_at_least "$(node --version 2>/dev/null | sed 's/^v//')" "$1"
}
node_is_good() { node_at_least "$NODE_MIN"; }
node_can_build() { node_at_least "$NODE_BUILD_MIN"; }

if ! go_is_good && [ -x "$FAIRLEAD_TOOLS/go/bin/go" ]; then
	PATH=$FAIRLEAD_TOOLS/go/bin:$PATH
fi
if ! node_is_good && [ -x "$FAIRLEAD_TOOLS/node/bin/node" ]; then
	PATH=$FAIRLEAD_TOOLS/node/bin:$PATH
fi
export PATH FAIRLEAD_TOOLS
