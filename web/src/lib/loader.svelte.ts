// One question to the server at a time, with its waiting, its answer and its failure.

import { onMount } from 'svelte';
import { i18n } from './i18n.svelte';

/** Reads at once, and again and again as long as the component stands. To be called as it begins. */
export function keepReading(read: () => unknown, everyMs: number) {
  onMount(() => {
    read();
    const timer = setInterval(read, everyMs);
    return () => clearInterval(timer);
  });
}

export class Loader<T> {
  value = $state.raw<T | null>(null);
  busy = $state(false);
  private failure = $state.raw<unknown>(null);
  private turn = 0;

  /** What to tell of the failure, in the language of now; it stands until an answer takes its place. */
  get problem(): string {
    return this.failure === null ? '' : i18n.problem(this.failure);
  }

  /** Asks; an answer that a later question overtook is dropped. The old answer stays until the new one is there. */
  async load(ask: () => Promise<T>): Promise<T | null> {
    const turn = ++this.turn;
    this.busy = true;
    try {
      const value = await ask();
      if (turn !== this.turn) return null;
      [this.value, this.failure] = [value, null];
      return value;
    } catch (error) {
      if (turn === this.turn) this.failure = error;
      return null;
    } finally {
      if (turn === this.turn) this.busy = false;
    }
  }
}
