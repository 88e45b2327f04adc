// compress.mjs FOLDER: writes NAME.br and NAME.gz beside each file; the server sends what is there.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const top = process.argv[2];
for (const folder of [top, join(top, 'assets')]) for (const name of readdirSync(folder)) {
	if (!/\.(html|js|css|svg)$/.test(name)) continue;
	const bytes = readFileSync(join(folder, name));
	writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }));
	writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
}
