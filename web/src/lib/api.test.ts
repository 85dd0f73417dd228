import { expect, test } from 'vitest';
import { Api, ApiError } from './api';

type Call = { url: string; init: RequestInit };

function api(answer: Response | Error, calls: Call[] = []) {
  const client = new Api('secret', async (url, init) => {
    calls.push({ url: String(url), init: init ?? {} });
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return client;
}
const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });

test('the token goes into a header, never into an address', async () => {
  const calls: Call[] = [];
  await api(json(200, { vehicles: [] }), calls).myVehicles();
  expect(calls[0]!.url).toBe('/api/v1/vehicles');
  expect(calls[0]!.init.headers).toMatchObject({ Authorization: 'Bearer secret' });
});

test('what people type is escaped', async () => {
  const calls: Call[] = [];
  await api(json(200, { vehicles: [] }), calls).searchVehicles('湘H&grant=9', '1');
  expect(new URL(calls[0]!.url, 'http://x').searchParams.getAll('grant')).toEqual(['1']);
});

test('a failure carries the code of the server', async () => {
  const error = await api(json(403, { error: 'forbidden', message: 'no' })).grants().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ status: 403, code: 'forbidden', message: 'no' });
});

test('an answer that is no JSON is a failure with its status', async () => {
  const error = await api(new Response('<html>', { status: 502 })).grants().catch((e: unknown) => e);
  expect(error).toMatchObject({ status: 502, code: 'unknown' });
});

test('a server that cannot be reached is said to be so', async () => {
  const error = await api(new TypeError('fetch failed')).grants().catch((e: unknown) => e);
  expect(error).toMatchObject({ status: 0, code: 'unreachable' });
});

test('an ended session is told once, and the token is forgotten', async () => {
  const client = api(json(401, { error: 'unauthenticated', message: '' }));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  await client.me().catch(() => {});
  expect([ended, client.token]).toEqual([1, null]);
});

test('a late refusal of an earlier session does not end the one of now', async () => {
  let refuse: () => void = () => {};
  const client = new Api('earlier', () => new Promise((answer) => (refuse = () => answer(json(401, {})))));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  const asked = client.me().catch(() => {});
  client.token = 'now';
  refuse();
  await asked;
  expect([ended, client.token]).toEqual([0, 'now']);
});

test('a wrong password ends no session', async () => {
  const client = new Api(null, async () => json(401, { error: 'unauthenticated', message: '' }));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  await expect(client.logIn('a', 'b')).rejects.toMatchObject({ status: 401 });
  expect(ended).toBe(0);
});
