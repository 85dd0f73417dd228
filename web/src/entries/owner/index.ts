// Owners and their families: on a phone, with one thumb.
import type { Entry } from '../entries';
import Banner from './AlertBanner.svelte';

export const entry: Entry = {
  words: ['owner'],
  Banner,
  pages: [
    { name: 'vehicles', roles: ['owner', 'family'], layout: 'map', load: () => import('./Vehicles.svelte') },
    { name: 'alerts', roles: ['owner', 'family'], layout: 'map', load: () => import('./Alerts.svelte') },
    { name: 'track', roles: ['owner', 'family'], layout: 'map', load: () => import('./Track.svelte') },
    { name: 'zones', roles: ['owner'], words: ['zones'], layout: 'map', load: () => import('../shared/Zones.svelte') },
    { name: 'mine', words: ['belongings'], layout: 'plain', load: () => import('./Mine.svelte') },
    { name: 'account', words: ['front', 'account'], layout: 'plain', load: () => import('../shared/Account.svelte') },
  ],
};
