#!/bin/sh
# embed.sh DIR: writes a C file with every *.hujson of DIR as struct openapi_file openapi_files[].
set -eu
echo '#include "server/api/openapi.h"'
i=0
rows=
for f in "$1"/*.hujson; do
	[ -e "$f" ] || continue
	i=$((i + 1))
	printf 'static const unsigned char text_%d[] = {' "$i"
	od -An -v -tu1 "$f" | sed 's/  *\([0-9]\)/,\1/g; s/^,//; s/$/,/'
	echo '0};'
	rows="$rows	{ \"$(basename "$f")\", text_$i, sizeof text_$i - 1 },
"
done
printf 'const struct openapi_file openapi_files[] = {\n%s};\nconst size_t openapi_files_n = %d;\n' "$rows" "$i"
