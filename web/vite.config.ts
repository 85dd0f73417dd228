import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// `npm run dev` speaks to a server on this machine; the build is served by that server itself.
const server = 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  // No data: addresses for scripts or styles, so that the server's policy can stay narrow.
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 1200, modulePreload: { polyfill: false } },
  server: { proxy: { '/api': { target: server, ws: true } } },
});
