// What was done, said in passing. What went wrong stays where it happened: `Problem.svelte`.

/** How long one stands, ms: long enough to be read (WCAG 2.2.1 leaves out what is not needed). */
const STANDS_MS = 6000;
/** More at once would cover the page. */
const TOASTS_MAX = 3;

export interface Said {
  id: number;
  text: string;
}

class Toast {
  said = $state.raw<readonly Said[]>([]);
  private next = 0;

  say(text: string) {
    const id = this.next++;
    this.said = [...this.said, { id, text }].slice(-TOASTS_MAX);
    setTimeout(() => this.drop(id), STANDS_MS);
  }

  drop(id: number) {
    this.said = this.said.filter((one) => one.id !== id);
  }
}

export const toast = new Toast();
