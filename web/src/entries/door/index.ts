// The installer at a door, with one thumb: the day's jobs, a tracker that is fitted, tried and handed over.
import { app } from '../../lib/app.svelte';
import { i18n } from '../../lib/i18n.svelte';
import type { Entry } from '../entries';
import { forgetAll, kept } from './kept';
import { bringReader } from './scanner';

/** How long the first page has the network for itself, ms. */
const BASEMENT_AFTER_MS = 5000;
/** Where the worker keeps who is logged in, for a reload without a network (`scripts/door-worker.js`). */
const WHO = 'rideguard-door-who';

// The page opens in a basement, with its reader of codes; a server without the worker's file (vite's own) has no basement.
if (import.meta.env.PROD) {
  const workers = navigator.serviceWorker;
  workers?.register('/door-worker.js', { scope: '/door' }).catch(() => {});
  void workers?.ready.then(() => setTimeout(() => void bringReader().catch(() => {}), BASEMENT_AFTER_MS));
}

// Who logs out leaves nothing on the phone; what was never sent would be lost, so that is asked.
app.beforeLogOut = async () => {
  const login = app.account?.login;
  if (!login) return true;
  const waiting = await kept(login).catch(() => []);
  if (waiting.length > 0 && !confirm(i18n.t('logOutLoses', { n: waiting.length }))) return false;
  await forgetAll(login).catch(() => {});
  await globalThis.caches?.delete(WHO).catch(() => {});
  return true;
};

export const entry: Entry = {
  words: ['door'],
  pages: [
    { name: 'jobs', layout: 'plain', load: () => import('./Jobs.svelte') },
    { name: 'fit', layout: 'plain', load: () => import('./Fit.svelte') },
    { name: 'out', layout: 'plain', load: () => import('./Out.svelte') },
    { name: 'visit', layout: 'plain', inNav: false, load: () => import('./Visit.svelte') },
    { name: 'account', words: ['front', 'account'], layout: 'plain', load: () => import('../shared/Account.svelte') },
  ],
};
