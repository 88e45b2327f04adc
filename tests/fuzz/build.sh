#!/bin/sh
# build.sh FUZZER.c...: builds each with clang's libFuzzer, ASan and UBSan into build/fuzz/. Run one with
#   build/fuzz/fuzz_x -max_total_time=60 tests/fuzz/corpus/x
set -eu
mkdir -p build/fuzz
src=$(find common server derp client -name '*.c' ! -name main.c ! -path '*/oidc_helper/*')
make --no-print-directory build/release/gen/version.c build/release/gen/migrations.c >/dev/null
for f in "$@"; do
	out=build/fuzz/$(basename "$f" .c)
	clang -std=gnu17 -g -O1 -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		-o "$out" "$f" $src build/release/gen/version.c build/release/gen/migrations.c \
		-pthread -lmicrohttpd -lsqlite3 -ljwt -lqrencode -lsodium -lcrypto -lssl -luv -lnghttp2 -lwslay -lzstd -ljansson -lm
	echo "$out"
done
