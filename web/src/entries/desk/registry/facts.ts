// What the registry keeps of each kind of thing, and what it refuses, in the reader's words.
import { ApiError } from '../../../lib/api';
import { i18n } from '../../../lib/i18n.svelte';
import type { RegistryKind, RegistryRecord } from '../../../lib/types';
import { PROTOCOLS } from '../protocols';

export const KINDS: readonly RegistryKind[] = ['vehicles', 'people', 'trackers'];
/** By MQTT, or by its own language on a socket. */
export const TRANSPORTS = ['mqtt', 'socket'] as const;
export const VEHICLE_KINDS = ['ebike', 'motorcycle'] as const;
export const REASON_CHARS_MAX = 500;

export interface Fact {
  name: string;
  isNeeded?: true;
  /** It is there from the beginning and stays. */
  isFixed?: true;
  words?: readonly string[];
  charsMax: number;
}
const fact = (name: string, charsMax = 64, more: Partial<Fact> = {}): Fact => ({ name, charsMax, ...more });
export const FACTS: Record<RegistryKind, readonly Fact[]> = {
  people: [fact('name', 64, { isNeeded: true }), fact('phone', 32, { isNeeded: true }), fact('id_number', 18)],
  vehicles: [
    fact('plate', 32, { isNeeded: true }),
    fact('kind', 32, { isNeeded: true, words: VEHICLE_KINDS }),
    fact('make'), fact('model'), fact('colour', 32), fact('frame_number', 32), fact('motor_number', 32),
  ],
  trackers: [
    fact('ident', 32, { isNeeded: true, isFixed: true }),
    fact('protocol', 32, { isNeeded: true, words: PROTOCOLS }),
    fact('tracker_model'), fact('iccid', 24), fact('sim_number', 24), fact('batch'),
    fact('transport', 16, { words: TRANSPORTS }),
  ],
};
/** In the order of an export; what a column of a file may hold. */
export const ALL_FACTS: readonly string[] = [...FACTS.people, ...FACTS.vehicles, ...FACTS.trackers].map((f) => f.name);

/** As a record has it; an id number is never there. */
export function valueOf(record: RegistryRecord, name: string): string {
  const value = record[name === 'tracker_model' ? 'model' : name];
  return typeof value === 'string' ? value : '';
}
export const factWord = (name: string) => i18n.code('fact', name);
/** A value as people read it. */
export const valueWord = (name: string, value: string) =>
  name === 'kind' && (VEHICLE_KINDS as readonly string[]).includes(value) ? i18n.code('kindIs', value)
  : name === 'transport' && (TRANSPORTS as readonly string[]).includes(value) ? i18n.code('transportIs', value)
  : value;

/** The numbers and names in what the server says is allowed. */
const numberIn = (text: string) => Number(/(\d+) (?:characters|columns)/.exec(text)?.[1] ?? 256);
/** How facts are called where they are kept. */
const KEPT_AS: Record<string, string> = { id_number_last4: 'id_number', profile: 'protocol' };

/** What may stand there, in the reader's language: the server says it in English. */
export function allowedWord(field: string, code: string, allowed: string): string {
  const { t } = i18n;
  if (code === 'text_length') return t('allow_text_length', { max: numberIn(allowed.replace(/^.*to /, '')) });
  if (code === 'unknown_word' && field === 'transport') return t('allow_transport');
  if (code === 'unknown_word') return field === 'kind' ? t('allow_kind') : t('allow_one_of', { names: allowed });
  if (code === 'repeated') return t('allow_repeated', { line: allowed });
  if (code === 'missing') {
    const beside = /^needed beside (.+)$/.exec(allowed)?.[1];
    if (beside) return t('allow_beside', { facts: beside.split(', ').map((f) => factWord(KEPT_AS[f] ?? f)).join('、') });
    return field === 'protocol' ? t('allow_one_of', { names: allowed }) : t('allow_anything');
  }
  const key = code === 'number_form' ? `number_form_${field}` : code;
  const word = i18n.code('allow', key);
  // A code that this page does not know.
  return word === key && allowed ? allowed : word;
}

/** The code of a fact's own form: a refusal of a form names the field only. */
const FORM: Record<string, string> = {
  phone: 'phone_form', plate: 'plate_form', ident: 'ident_form', iccid: 'iccid_form', id_number: 'id_number_form',
  frame_number: 'number_form', motor_number: 'number_form', sim_number: 'number_form', kind: 'unknown_word', protocol: 'unknown_word', transport: 'unknown_word',
};

/** Why a file is no table: the server's sentence, and ours. */
const NO_TABLE = [
  [/is empty/, 'table_empty'],
  [/more than (\d+) lines/, 'table_long'],
  [/line (\d+) has (\d+) columns; it may have (\d+)/, 'table_wide'],
  [/neither UTF-8 nor GB18030/, 'table_encoding'],
  [/unpacks to more/, 'table_unpacks'],
  [/has a password/, 'table_locked'],
  [/first line has values/, 'table_headless'],
  [/a line has more than/, 'table_line'],
  [/XLSX|sheet/, 'table_xlsx'],
  [/length limit/, 'table_large'],
] as const;

/** What to tell a person of a refusal. */
export function told(failure: unknown): string {
  const { t } = i18n;
  if (failure === null) return '';
  if (!(failure instanceof ApiError)) return i18n.problem(failure);
  const values = failure.values as Record<string, string>;
  if (failure.code === 'field_form') {
    const field = values['field'] ?? '';
    const allowed = allowedWord(field, FORM[field] ?? 'text_length', values['allowed'] ?? '');
    return t('factWrong', { fact: factWord(field), value: values['value'] ?? '', allowed });
  }
  if (failure.code === 'no_table') {
    for (const [form, key] of NO_TABLE) {
      const found = form.exec(values['detail'] ?? '');
      if (found) return t(key, { a: found[1] ?? '', b: found[2] ?? '', c: found[3] ?? '' });
    }
    return t('table_unreadable');
  }
  return i18n.problem(failure);
}
/** The same, where it names this field. */
export const toldAt = (failure: unknown, field: string): string =>
  failure instanceof ApiError && failure.values['field'] === field ? told(failure) : '';

/** A phone number as the server keeps it. */
export const e164 = (text: string) => {
  const plain = text.replace(/[\s()-]/g, '');
  return /^1\d{10}$/.test(plain) ? `+86${plain}` : plain;
};
