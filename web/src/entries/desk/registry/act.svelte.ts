// One thing done at a time, with its refusal in the reader's words.
import { told, toldAt } from './facts';

export class Act {
  busy = $state(false);
  private failure = $state.raw<unknown>(null);

  get problem(): string {
    return told(this.failure);
  }
  /** What is wrong with this field. */
  at = (field: string): string => toldAt(this.failure, field);

  async run<T>(what: () => Promise<T>): Promise<T | null> {
    if (this.busy) return null;
    [this.busy, this.failure] = [true, null];
    try {
      return await what();
    } catch (error) {
      this.failure = error;
      return null;
    } finally {
      this.busy = false;
    }
  }
}
