// Operators, administrators, approvers and auditors, at a desk.
import type { Entry } from '../entries';

export const entry: Entry = {
  words: ['desk'],
  pages: [
    { name: 'trackers', roles: ['operator', 'admin'], layout: 'wide', load: () => import('./Trackers.svelte') },
    { name: 'zones', roles: ['operator', 'admin'], words: ['zones'], layout: 'map', load: () => import('../shared/Zones.svelte') },
    { name: 'registry', roles: ['operator', 'admin'], words: ['registry', 'door'], layout: 'plain', load: () => import('./registry/Registry.svelte') },
    { name: 'import', roles: ['operator', 'admin'], words: ['registry'], layout: 'plain', load: () => import('./registry/Imports.svelte') },
    { name: 'people', roles: ['operator', 'admin'], words: ['front', 'people'], layout: 'plain', load: () => import('./People.svelte') },
    { name: 'account', words: ['front', 'account'], layout: 'plain', load: () => import('../shared/Account.svelte') },
  ],
};
