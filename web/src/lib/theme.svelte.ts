// Light or dark: as the system has it, until the reader chooses.

export const THEMES = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];
const KEPT_AS = 'rideguard-theme';

class Choice {
  chosen = $state<Theme>(THEMES.find((t) => t === localStorage.getItem(KEPT_AS)) ?? 'auto');
  private readonly system = matchMedia('(prefers-color-scheme: dark)');

  constructor() {
    this.system.addEventListener('change', () => this.show());
    this.show();
  }

  /** The next one, for a button that goes round. */
  get next(): Theme {
    return THEMES[(THEMES.indexOf(this.chosen) + 1) % THEMES.length] ?? 'auto';
  }

  choose(theme: Theme) {
    this.chosen = theme;
    localStorage.setItem(KEPT_AS, theme);
    this.show();
  }

  private show() {
    const isDark = this.chosen === 'dark' || (this.chosen === 'auto' && this.system.matches);
    document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
  }
}

export const theme = new Choice();
