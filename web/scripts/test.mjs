// Unit tests of src/data, without a DOM: bundled by esbuild, run by node's own runner. Arguments go to `node --test`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const top = fileURLToPath(new URL('..', import.meta.url)), out = mkdtempSync(join(tmpdir(), 'fairlead-web-'));
const tests = readdirSync(join(top, 'tests')).filter(name => name.endsWith('.test.ts')).map(name => join(top, 'tests', name));
try {
	await build({ entryPoints: tests, outdir: out, bundle: true, platform: 'node', format: 'esm', outExtension: { '.js': '.mjs' }, jsx: 'automatic', jsxImportSource: 'preact', logLevel: 'warning' });
	const files = readdirSync(out).filter(name => name.endsWith('.mjs')).map(name => join(out, name));
	process.exitCode = spawnSync(process.execPath, ['--test', '--test-reporter=tap', ...process.argv.slice(2), ...files], { stdio: 'inherit' }).status ?? 1;
} finally {
	rmSync(out, { recursive: true, force: true });
}
