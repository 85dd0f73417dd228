// What a search finds stands on the map as long as its page does, and can be chosen there.

import { app } from '../../lib/app.svelte';
import type { Hit } from '../../lib/map/city';
import type { Vehicle } from '../../lib/types';

/** Where each of them is now, as far as it has a position. */
export const hitsOf = (vehicles: readonly Vehicle[]): Hit[] =>
  vehicles.flatMap(({ id, plate, last_fix: fix }) => (fix ? [{ id, plate, at: [fix.lon, fix.lat] }] : []));

/** To be called when the page is mounted; what it gives back ends it. */
export function showHits(choose: (vehicle: string) => void): () => void {
  app.choose = choose;
  return () => {
    [app.choose, app.hits] = [null, []];
  };
}
