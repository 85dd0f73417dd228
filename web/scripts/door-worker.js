// Opens the installer's page without a network: the page's files, and who is logged in. What is typed is kept by the page itself.
// The build puts the files' names and the version in (scripts/door-worker.mjs).
const SHELL = 'rideguard-door-VERSION';
const WHO = 'rideguard-door-who';
const PAGE = '/door';
const ME = '/api/v1/me';
const FILES = [];
/** A network that does not answer for so long is none, ms. */
const WAIT_MS = 5000;

self.addEventListener('install', (event) => {
  const fill = async () => {
    const shell = await caches.open(SHELL);
    await shell.addAll([new Request(PAGE, { cache: 'reload' }), ...FILES]);
    await self.skipWaiting();
  };
  event.waitUntil(fill());
});

self.addEventListener('activate', (event) => {
  const tidy = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith('rideguard-door-') && name !== SHELL && name !== WHO);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(tidy());
});

const asked = (request) => fetch(request, { signal: AbortSignal.timeout(WAIT_MS) });

/** The page of now; without a network that of before. */
async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const known = await caches.match(PAGE, { cacheName: SHELL });
    if (known) return known;
    throw error;
  }
}

/** A file whose name has a digest of its content never changes. */
async function file(request) {
  const shell = await caches.open(SHELL);
  const known = await shell.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) await shell.put(request, answer.clone());
  return answer;
}

/** Who is logged in; without a network as last heard. The server's "nobody" counts at once. */
async function who(request) {
  const kept = await caches.open(WHO);
  try {
    const answer = await asked(request);
    if (answer.ok) await kept.put(ME, answer.clone());
    if (answer.status === 401) await kept.delete(ME);
    return answer;
  } catch (error) {
    const known = await kept.match(ME);
    if (known) return known;
    throw error;
  }
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== self.location.origin) return;
  if (request.mode === 'navigate' && pathname === PAGE) event.respondWith(page(request));
  else if (pathname.startsWith('/assets/')) event.respondWith(file(request));
  else if (pathname === ME) event.respondWith(who(request));
});
