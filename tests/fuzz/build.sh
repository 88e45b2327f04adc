#!/bin/sh
# build.sh FUZZER.c...: builds each with clang's libFuzzer, ASan and UBSan into build/fuzz/. Run one with
#   build/fuzz/fuzz_x -max_total_time=60 tests/fuzz/corpus/x
#
# The tree's sources are compiled once, into build/fuzz/libtree.a, and again only where they changed; a changed header
# compiles all of them anew.
set -eu
export DIR=build/fuzz
export CFLAGS="-std=gnu17 -g -O1 -D_GNU_SOURCE -I. -fsanitize=address,undefined -fno-sanitize-recover=all"
LIBS="-pthread -lmicrohttpd -lsqlite3 -ljwt -lqrencode -lsodium -lcrypto -lssl -luv -lnghttp2 -lwslay -lseccomp -lzstd -ljansson -lm"
jobs=$(nproc)

mkdir -p $DIR/obj
make --no-print-directory build/release/gen/version.c build/release/gen/migrations.c >/dev/null
headers=$(find common server derp client tests -name '*.h')
if [ -e $DIR/headers ] && [ -n "$(find $headers tests/fuzz/build.sh -newer $DIR/headers -print -quit)" ]; then
	rm -f $DIR/obj/*.o
fi
touch $DIR/headers

sources=$(find common server derp client tests/lib -name '*.c' ! -name main.c ! -path '*/oidc_helper/*')
echo "$sources build/release/gen/version.c build/release/gen/migrations.c" | tr ' ' '\n' | xargs -P "$jobs" -I{} sh -c '
	o=$DIR/obj/$(echo {} | tr / _ | sed "s/\.c\$/.o/")
	[ -e "$o" ] && [ ! {} -nt "$o" ] || clang $CFLAGS -fsanitize=fuzzer-no-link -c -o "$o" {}'
rm -f $DIR/libtree.a
ar rcs $DIR/libtree.a $DIR/obj/*.o

for f in "$@"; do
	echo "$f"
done | LIBS=$LIBS xargs -P "$jobs" -I{} sh -c '
	out=$DIR/$(basename {} .c)
	clang $CFLAGS -fsanitize=fuzzer -o "$out" {} $DIR/libtree.a -lcmocka $LIBS && echo "$out"'
