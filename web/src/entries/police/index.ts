// The police, at a desk: every look is for a case.
import type { Entry } from '../entries';

export const entry: Entry = {
  words: ['police'],
  pages: [
    { name: 'search', layout: 'map', load: () => import('./Search.svelte') },
    { name: 'area', layout: 'map', load: () => import('./Area.svelte') },
    { name: 'account', words: ['front', 'account'], layout: 'plain', load: () => import('../shared/Account.svelte') },
  ],
};
