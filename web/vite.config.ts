import { defineConfig, type Plugin } from 'vite';
import { sprite } from './src/components/icons';

// The icons stand once in index.html, as symbols: no request, no script that writes markup.
const inlineSprite = (): Plugin => ({
	name: 'sprite',
	transformIndexHtml: html => html.replace('<!--sprite-->', sprite()),
});

// Who somebody is and the first list are asked for while the scripts are still on their way.
const preload = (): Plugin => ({
	name: 'preload',
	transformIndexHtml: () => ['/api/fairlead/v1/me', '/api/fairlead/v1/machines'].map(href => ({ tag: 'link', attrs: { rel: 'preload', as: 'fetch', crossorigin: 'anonymous', href }, injectTo: 'head' as const })),
});

// `npx vite` while writing a page: FAIRLEAD=http://127.0.0.1:8080 names the server that answers everything but the console.
const server = process.env.FAIRLEAD ?? 'http://127.0.0.1:8080';

export default defineConfig({
	base: '/console/',
	plugins: [inlineSprite(), preload()],
	esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
	server: {
		proxy: { '^/(api|login|logout|my|connect|welcome)': { target: server, changeOrigin: false } },
	},
	build: {
		outDir: 'dist',
		target: ['chrome123', 'firefox128', 'safari17.5'],
		modulePreload: { polyfill: false },
		assetsInlineLimit: 0,
		cssCodeSplit: false,
		sourcemap: false,
		reportCompressedSize: false,
		chunkSizeWarningLimit: 600,
		rollupOptions: {
			output: {
				entryFileNames: 'assets/[name]-[hash].js',
				chunkFileNames: 'assets/[name]-[hash].js',
				manualChunks: id => /node_modules\/(@codemirror|@lezer|crelt|style-mod|w3c-keyname|@marijn)/.test(id) ? 'codemirror' : undefined,
			},
		},
	},
});
