// Who lands where. An entry is loaded when somebody of its roles is there; its pages, when they are opened.
import type { Component } from 'svelte';
import type { Role } from '../lib/types';
import type { Part } from '../lib/words';

/** A screen. Its address is `#/name`, its link in the header `nav_name`. */
export interface Page {
  name: string;
  /** Who of the entry's people has it; everybody, if it is left out. */
  roles?: readonly Role[];
  /** Parts of the words that it shows, beside `common` and those of the entry. */
  words?: readonly Part[];
  /** `map`: beside the map. `wide`: the same, with more room for the page. `plain`: the whole width, no map. */
  layout: 'map' | 'wide' | 'plain';
  /** False: no link in the header; other pages lead there. */
  inNav?: false;
  load: () => Promise<{ default: Component }>;
}

/** What a group of roles gets. */
export interface Entry {
  words: readonly Part[];
  pages: readonly Page[];
  /** Stands above every page. */
  Banner?: Component;
}

export const ENTRIES = {
  owner: async (): Promise<Entry> => (await import('./owner')).entry,
  police: async (): Promise<Entry> => (await import('./police')).entry,
  desk: async (): Promise<Entry> => (await import('./desk')).entry,
  door: async (): Promise<Entry> => (await import('./door')).entry,
};
export type EntryName = keyof typeof ENTRIES;

const OF_ROLE: Record<Role, EntryName> = {
  owner: 'owner',
  family: 'owner',
  police: 'police',
  operator: 'desk',
  admin: 'desk',
  approver: 'desk',
  auditor: 'desk',
  installer: 'door',
};
/** The installer's entry has a path of its own: only there the server lets the page use the camera. */
export const DOOR_PATH = '/door';
/** Who may work at the door beside installers. */
const AT_THE_DOOR: readonly Role[] = ['installer', 'operator', 'admin'];

export const isAtTheDoor = (path: string) => path === DOOR_PATH || path.startsWith(`${DOOR_PATH}/`);

/** The entry of a role at a path. */
export const entryOf = (role: Role, path: string): EntryName =>
  isAtTheDoor(path) && AT_THE_DOOR.includes(role) ? 'door' : OF_ROLE[role];

/** Where an entry lives, if it is not at this path: another path has other rights in the browser. */
export function movedTo(entry: EntryName, path: string): string | null {
  if ((entry === 'door') === isAtTheDoor(path)) return null;
  return entry === 'door' ? DOOR_PATH : '/';
}

/** A screen of those who are not logged in, or need not be: `#/name/code`. Codes behind the # reach no server's log. */
type FrontPage = () => Promise<{ default: Component }>;
/** `login` is where everybody else without a session lands. A new one is a line here, a file in `front/`, words of `front`. */
export const FRONT: Record<string, FrontPage> & { login: FrontPage } = {
  login: () => import('./front/Login.svelte'),
  setup: () => import('./front/SetUp.svelte'),
  invitation: () => import('./front/Welcome.svelte'),
  reset: () => import('./front/Welcome.svelte'),
};
