// One question to the server at a time, with its waiting, its answer and its failure.

import { i18n } from './i18n.svelte';

export class Loader<T> {
  value = $state.raw<T | null>(null);
  problem = $state('');
  busy = $state(false);
  private turn = 0;

  /** Asks; an answer that a later question overtook is dropped. The old answer stays until the new one is there. */
  async load(ask: () => Promise<T>): Promise<T | null> {
    const turn = ++this.turn;
    [this.busy, this.problem] = [true, ''];
    try {
      const value = await ask();
      if (turn === this.turn) this.value = value;
      return value;
    } catch (error) {
      if (turn === this.turn) this.problem = i18n.problem(error);
      return null;
    } finally {
      if (turn === this.turn) this.busy = false;
    }
  }
}
