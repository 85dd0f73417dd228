// The words of the police in English. A key that is missing does not compile.

import type { police as keys } from '../zh/police';

export const police: Record<keyof typeof keys, string> = {
  nav_search: 'Vehicles',
  nav_area: 'Area search',
  hitsOnMap: 'The purple marks on the map are where these vehicles are now; they can be chosen.',
  grant: 'Case with a grant',
  noGrant: 'You have no grant in force.',
  grantBounds: 'Until {until}; at most {km2} km² and {hours} h',
  tooLong: 'The time is longer than the {hours} h that the grant allows; ask for less.',
  tooLarge: 'The area is {km2} km²; the grant allows {max} km². Draw it smaller.',
  audited: 'Every query is recorded: who, which case, what was asked, how many rows came back.',
  plateOrTracker: 'Plate or tracker id (3 characters at least)',
  found: 'Found: {n}',
  results: 'Results',
  areaHits: 'Vehicles in this area: {n}',
  did: 'Condition',
  did_inside: 'was inside',
  did_entered: 'came in',
  did_left: 'went out',
  firstSeen: 'First',
  lastSeen: 'Last',
  liveForCase: 'Show live positions (recorded)',
};
