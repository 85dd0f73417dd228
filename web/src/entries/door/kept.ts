// What waits for the network on this phone, and what is typed just now: sent later, and gone from here then. It outlives the page.
// Each thing belongs to the person who typed it: somebody else who logs in on the same phone neither sees nor sends it.
import type { DoorDay, DoorVisitRequest } from '../../lib/types';

/** A visit that was typed, with its photo; or a photo of a visit that the server knows. */
export interface Kept {
  /** The idempotency key: sent twice it is one. */
  key: string;
  login: string;
  plate: string;
  ident: string;
  asked?: DoorVisitRequest;
  visit?: string;
  photo?: Blob;
}

/** A form that was not sent yet, as it was left. */
export interface Draft {
  login: string;
  /** The job it is for; empty: none. */
  job: string;
  key: string;
  fields: Record<string, string>;
  photo?: Blob;
}

/** The day's jobs as last read, for a basement. */
export interface KeptDay {
  login: string;
  day: string;
  at: number;
  jobs: DoorDay;
}
type Store = 'waiting' | 'drafts' | 'days';

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('rideguard-door', 2);
    request.onupgradeneeded = () => {
      for (const name of request.result.objectStoreNames) request.result.deleteObjectStore(name);
      request.result.createObjectStore('waiting', { keyPath: 'key' });
      request.result.createObjectStore('drafts', { keyPath: ['login', 'job'] });
      request.result.createObjectStore('days', { keyPath: 'login' });
    };
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => {
        opened = undefined;
        database.close();
      };
      database.onclose = () => (opened = undefined);
      resolve(database);
    };
    request.onerror = () => reject(request.error);
  });
}

/** The database stays open: what is typed is with the browser before the page can go. */
function connection(): Promise<IDBDatabase> {
  opened ??= open().catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function ask<T>(name: Store, mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const transaction = (await connection()).transaction(name, mode);
  const request = what(transaction.objectStore(name));
  // A page that goes aborts what nobody committed.
  transaction.commit();
  return new Promise<T>((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

const put = (name: Store, value: unknown) => ask(name, 'readwrite', (store) => store.put(value));
const remove = (name: Store, key: IDBValidKey) => ask(name, 'readwrite', (store) => store.delete(key));
const all = <T>(name: Store): Promise<T[]> => ask(name, 'readonly', (store) => store.getAll() as IDBRequest<T[]>);

export const keep = (one: Kept) => put('waiting', one);
export const drop = (key: string) => remove('waiting', key);
export const kept = async (login: string) => (await all<Kept>('waiting')).filter((one) => one.login === login);
export const saveDraft = (draft: Draft) => put('drafts', draft);
export const draftOf = async (login: string, job: string) => (await all<Draft>('drafts')).find((d) => d.login === login && d.job === job);
export const dropDraft = (login: string, job: string) => remove('drafts', [login, job]);
export const saveDay = (day: KeptDay) => put('days', day);
export const dayOfLogin = async (login: string, day: string) => (await all<KeptDay>('days')).find((d) => d.login === login && d.day === day);

/** Nothing of this person stays on the phone. */
export async function forgetAll(login: string) {
  await remove('days', login);
  for (const one of await kept(login)) await drop(one.key);
  for (const draft of await all<Draft>('drafts')) if (draft.login === login) await dropDraft(login, draft.job);
}
