// What each call of the generated document takes and answers: a name that the server does not know does not compile.

import type { paths, RegistryKind } from './types';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

type Prefix = '/api/v1';
/** Paths, below the base address, that have a call of this method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends object ? (P extends `${Prefix}${infer Short}` ? Short : never) : never;
}[keyof paths];

type Operation<M extends Method, P extends string> = `${Prefix}${P}` extends keyof paths ? paths[`${Prefix}${P}`][M] : never;
type Json<C> = C extends { content: { 'application/json': infer T } } ? T : C extends { content: { 'text/csv': string } } ? string : void;

/** What is given with a call: parts of the query, and the body. */
export interface Asked<M extends Method, P extends string> {
  id?: string;
  /** The other part of a path that names a kind of thing. */
  kind?: RegistryKind;
  /** The version that a change was made of (`If-Match`). */
  version?: number;
  /** Sent as it is, in place of a body. */
  file?: Blob;
  /** Much is sent or answered. */
  isLong?: boolean;
  /** Of the caller's making (`Idempotency-Key`): sent twice, the call is one. */
  key?: string;
  query?: Operation<M, P> extends { parameters: { query?: infer Q } } ? Q : never;
  body?: Operation<M, P> extends { requestBody?: { content: { 'application/json': infer B } } } ? B : never;
}

/** The answer of a call that is done, or handed on. */
export type Answered<M extends Method, P extends string> =
  Operation<M, P> extends { responses: infer R } ? { [S in keyof R & (200 | 201 | 202 | 204)]: Json<R[S]> }[keyof R & (200 | 201 | 202 | 204)] : never;
