import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, loadEnv } from 'vite';

// `npm run dev` speaks to a server on this machine, or to that of RIDEGUARD_API; the build is served by that server itself.
const server = loadEnv('', '.', 'RIDEGUARD_').RIDEGUARD_API ?? 'http://127.0.0.1:8080';

/** What every entry has from the start: one file packs better than twenty, and is one question to the server. */
const SHELL = /\/node_modules\/svelte\/|\/src\/(App|Frame)\.svelte|\/src\/lib\/[\w.]+$|\/src\/lib\/ui\/(Toasts|toast)\b|\/src\/entries\/entries/;

/** What forms and maps need comes with them. */
const BINDINGS = /\/bindings\/(select|input)\.js$/;
const FORMS = /\/(geometry|schedule)\.ts$/;

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // No data: addresses for scripts or styles, so that the server's policy can stay narrow.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1200,
    modulePreload: { polyfill: false },
    // For scripts/entry-size.mjs.
    manifest: true,
    rollupOptions: { output: { manualChunks: (id) => (BINDINGS.test(id) ? 'bindings' : SHELL.test(id) && !FORMS.test(id) ? 'shell' : undefined) } },
  },
  server: { proxy: { '/api': { target: server, ws: true } } },
});
