import { ApiError } from './api';
import type { Language } from './time';
import { fill, refusal, WORDS, type Key } from './words';

const LANG = { zh: 'zh-CN', en: 'en' } as const;
const KEPT_AS = 'rideguard-language';

function first(): Language {
  const kept = localStorage.getItem(KEPT_AS);
  if (kept === 'zh' || kept === 'en') return kept;
  return navigator.language.startsWith('zh') ? 'zh' : 'en';
}

class I18n {
  language = $state<Language>(first());

  /** A text in the language of the page. */
  t = (key: Key, values?: Record<string, string | number>) => fill(WORDS[this.language][key], values);

  /** A text whose key is made from the server's codes; unknown codes show as they are. */
  code(prefix: string, code: string): string {
    const key = `${prefix}_${code}`;
    return key in WORDS[this.language] ? this.t(key as Key) : code;
  }

  /** What to tell a person of a failure. */
  problem(error: unknown): string {
    if (!(error instanceof ApiError)) return this.t('error_other', { message: String(error) });
    // The server's own text is English; the words of its codes stand here, with its values.
    return refusal(WORDS[this.language], error.code, error.values) ?? this.t('error_other', { message: error.message });
  }

  /** Of the language that is not shown, for the button that leads there. */
  get otherLang(): string {
    return LANG[this.language === 'zh' ? 'en' : 'zh'];
  }

  toggle() {
    this.language = this.language === 'zh' ? 'en' : 'zh';
    localStorage.setItem(KEPT_AS, this.language);
    document.documentElement.lang = LANG[this.language];
  }
}

export const i18n = new I18n();
document.documentElement.lang = LANG[i18n.language];
