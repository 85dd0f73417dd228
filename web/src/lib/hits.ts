// What a search finds stands on the map as long as its page does, and can be chosen there.

import { app } from './app.svelte';

/** To be called when the page is mounted; what it gives back ends it. */
export function showHits(choose: (vehicle: string) => void): () => void {
  app.choose = choose;
  return () => {
    [app.choose, app.hits] = [null, []];
  };
}
