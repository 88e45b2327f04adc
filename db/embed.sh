#!/bin/sh
# embed.sh DIR: writes a C file with every NNNN_name.sql of DIR, in order, as struct migration migrations[].
set -eu
echo '#include "server/store/migrate.h"'
i=0
rows=
for f in "$1"/[0-9]*.sql; do
	[ -e "$f" ] || continue
	i=$((i + 1))
	b=$(basename "$f" .sql)
	printf 'static const char sql_%d[] = {' "$i"
	od -An -v -tu1 "$f" | sed 's/  *\([0-9]\)/,\1/g; s/^,//; s/$/,/'
	echo '0};'
	n=$(echo "$b" | sed 's/^0*\([0-9][0-9]*\)_.*/\1/')
	rows="$rows	{ $n, \"$b\", sql_$i, sizeof sql_$i - 1 },
"
done
printf 'const struct migration migrations[] = {\n%s};\nconst size_t migrations_n = %d;\n' "$rows" "$i"
