#!/bin/sh
# embed.sh DIR: writes a C file with every file of DIR (web/dist) as struct web_asset web_assets[]; files beside theirs that end in .br and .gz
# are the same compressed. A file's mark is a part of its hash, so that what changed is compiled anew.
set -eu
dir=$1
[ -d "$dir" ] || dir=/nonexistent
echo '#include "server/api/console_page.h"'
list=$(cd "$dir" 2>/dev/null && find . -type f ! -name '*.br' ! -name '*.gz' | LC_ALL=C sort | sed 's#^\./##' || true)
i=0
rows=
embed() { # FILE: its bytes as web_$i
	i=$((i + 1))
	printf '__asm__(".section .rodata\\n.balign 16\\n.globl web_%d\\nweb_%d: .incbin \\"%s\\"\\n.globl web_%d_end\\nweb_%d_end: .byte 0\\n.previous\\n");\n' $i $i "$1" $i $i
	printf 'extern const unsigned char web_%d[], web_%d_end[];\n' $i $i
}
for f in $list; do
	mark=$(sha256sum "$dir/$f" | cut -c1-16)
	embed "$dir/$f"
	row="	{ \"$f\", \"\\\"$mark\\\"\", { { web_$i, web_${i}_end }"
	for c in br gz; do
		if [ -e "$dir/$f.$c" ]; then
			embed "$dir/$f.$c"
			echo "/* $(sha256sum "$dir/$f.$c" | cut -c1-16) */"
			row="$row, { web_$i, web_${i}_end }"
		else
			row="$row, { 0, 0 }"
		fi
	done
	rows="$rows$row } },
"
done
printf 'const struct web_asset web_assets[] = {\n%s	{ 0 },\n};\nconst size_t web_assets_n = sizeof web_assets / sizeof web_assets[0] - 1;\n' "$rows"
