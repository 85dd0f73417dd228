import { ApiError } from './api';
import type { Language } from './time';
import { fill, refusal, WORDS, type Key, type Part, type Words } from './words';

const LANG = { zh: 'zh-CN', en: 'en' } as const;
const KEPT_AS = 'rideguard-language';
/** On the page's root while another language is on its way. */
const CHANGING = 'data-changing';

function first(): Language {
  const kept = localStorage.getItem(KEPT_AS);
  if (kept === 'zh' || kept === 'en') return kept;
  return navigator.language.startsWith('zh') ? 'zh' : 'en';
}

async function read(language: Language, parts: Iterable<Part>): Promise<Words> {
  const all = await Promise.all(Array.from(parts, (part) => WORDS[language][part]()));
  return Object.assign({}, ...all) as Words;
}

class I18n {
  language = $state<Language>(first());
  /** The words of the parts that are used, in this language. */
  private words = $state.raw<Words>({});
  private readonly parts = new Set<Part>();

  /** Has the words of these parts; what shows them waits for it. */
  async use(...parts: readonly Part[]) {
    const missing = parts.filter((part) => !this.parts.has(part));
    if (missing.length === 0) return;
    const { language } = this;
    const words = await read(language, missing);
    // The language may have changed meanwhile.
    if (language !== this.language) return void (await this.use(...missing));
    for (const part of missing) this.parts.add(part);
    this.words = { ...this.words, ...words };
  }

  /** A text in the language of the page. */
  t = (key: Key, values?: Record<string, string | number>) => fill(this.words[key] ?? key, values);

  /** A text whose key is made from the server's codes; unknown codes show as they are. */
  code(prefix: string, code: string): string {
    const key = `${prefix}_${code}`;
    return key in this.words ? this.t(key as Key) : code;
  }

  /** What to tell a person of a failure. */
  problem(error: unknown): string {
    if (!(error instanceof ApiError)) return this.t('error_other', { message: String(error) });
    // The server's own text is English; the words of its codes stand here, with its values.
    return refusal(this.words, error.code, error.values) ?? this.t('error_other', { message: error.message });
  }

  /** Of the language that is not shown, for the button that leads there. */
  get otherLang(): string {
    return LANG[this.language === 'zh' ? 'en' : 'zh'];
  }

  async toggle() {
    const root = document.documentElement;
    root.setAttribute(CHANGING, '');
    const language = this.language === 'zh' ? 'en' : 'zh';
    try {
      const words = await read(language, this.parts);
      [this.language, this.words] = [language, words];
      localStorage.setItem(KEPT_AS, language);
      root.lang = LANG[language];
    } catch {
      // Its words did not come; the page stays as it is, and the button can be used again.
    } finally {
      root.removeAttribute(CHANGING);
    }
  }
}

export const i18n = new I18n();
document.documentElement.lang = LANG[i18n.language];
