// Something asked of the server that holds only when the server shows it.

import { i18n } from './i18n.svelte';
import { Loader } from './loader.svelte';

/** How often is looked whether it holds, ms. */
const LOOK_EVERY_MS = 2000;
/** After so long without it, the person is told, ms; a lane under load takes a few seconds. */
const PATIENCE_MS = 30_000;

export class Order<T> {
  /** What was asked for and is not shown yet; nothing else can be asked for meanwhile. */
  wanted = $state.raw<T | null>(null);
  private readonly question = new Loader<unknown>();
  private isLate = $state(false);

  /** `shown` says what holds now, `look` reads it again. To be made while a component starts. */
  constructor(
    shown: () => T | null,
    private readonly look: () => void,
  ) {
    $effect(() => {
      if (this.wanted !== null && !this.question.busy && shown() === this.wanted) this.wanted = null;
    });
    $effect(() => {
      if (this.wanted === null || this.question.busy) return;
      const looks = setInterval(look, LOOK_EVERY_MS);
      const end = setTimeout(() => ([this.wanted, this.isLate] = [null, true]), PATIENCE_MS);
      return () => {
        clearInterval(looks);
        clearTimeout(end);
      };
    });
  }

  get problem(): string {
    return this.isLate ? i18n.t('unconfirmed') : this.question.problem;
  }

  /** Waits no longer for what was asked: it will not come. */
  drop() {
    this.wanted = null;
  }

  async ask(wanted: T, say: () => Promise<unknown>) {
    if (this.wanted !== null) return;
    [this.wanted, this.isLate] = [wanted, false];
    await this.question.load(say);
    if (this.question.problem !== '') this.wanted = null;
    this.look();
  }
}
