import { expect, test } from 'vitest';
import { Api, ApiError } from './api';

type Call = { url: string; init: RequestInit };

function api(answer: Response | Error, calls: Call[] = []) {
  const client = new Api(true, async (url, init) => {
    calls.push({ url: String(url), init: init ?? {} });
    if (answer instanceof Error) throw answer;
    return answer;
  });
  return client;
}
const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });

test('a question carries our own header and no token: the session is a cookie', async () => {
  const calls: Call[] = [];
  await api(json(200, { vehicles: [] }), calls).myVehicles();
  expect(calls[0]!.url).toBe('/api/v1/vehicles');
  expect(calls[0]!.init.headers).toEqual({ 'x-rideguard': '1' });
});

test('a log-in asks for a cookie', async () => {
  const calls: Call[] = [];
  const account = { login: 'a', name: 'A', role: 'owner' };
  expect(await api(json(200, { account }), calls).logIn('a', 'b')).toEqual({ account });
  expect(JSON.parse(String(calls[0]!.init.body))).toEqual({ login: 'a', password: 'b', cookie: true });
});

test('an answer says which version it saw, and takes "stolen" back only when told to', async () => {
  const calls: Call[] = [];
  await api(json(200, {}), calls).answer('7', 'me', 3);
  await api(json(200, {}), calls).answer('7', 'me', 4, true);
  const said = calls.map((call) => JSON.parse(String(call.init.body)));
  expect(said).toEqual([{ answer: 'me', version: 3 }, { answer: 'me', version: 4, withdraw: true }]);
});

test('a refusal brings its values and the incident as it stands', async () => {
  const body = { error: 'incident_changed', message: 'no', values: { version: 4 }, incident: { id: '7', version: 4 } };
  const error = await api(json(409, body)).answer('7', 'me', 3).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'incident_changed', values: { version: 4 }, incident: { version: 4 } });
});

test('what people type is escaped', async () => {
  const calls: Call[] = [];
  await api(json(200, { vehicles: [] }), calls).searchVehicles('湘H&grant_id=9', '1');
  expect(new URL(calls[0]!.url, 'http://x').searchParams.getAll('grant_id')).toEqual(['1']);
});

test('of a refusal with a code of its own, that is taken', async () => {
  const body = { error: 'forbidden', code: 'no_grant', message: 'no', values: { grant: '7' } };
  const error = await api(json(403, body)).grants().catch((e: unknown) => e);
  expect(error).toMatchObject({ status: 403, code: 'no_grant', values: { grant: '7' } });
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

test('an ended session is told once', async () => {
  const client = api(json(401, { error: 'unauthenticated', message: '' }));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  await client.me().catch(() => {});
  await client.me().catch(() => {});
  expect([ended, client.isIn]).toEqual([1, false]);
});

test('a late refusal of an earlier session does not end the one of now', async () => {
  let refuse: () => void = () => {};
  const client = new Api(true, () => new Promise((answer) => (refuse = () => answer(json(401, {})))));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  const asked = client.me().catch(() => {});
  client.begin();
  refuse();
  await asked;
  expect([ended, client.isIn]).toEqual([0, true]);
});

test('a wrong password ends no session', async () => {
  const client = new Api(false, async () => json(401, { error: 'unauthenticated', message: '' }));
  let ended = 0;
  client.onSessionEnd = () => ended++;
  await expect(client.logIn('a', 'b')).rejects.toMatchObject({ status: 401 });
  expect(ended).toBe(0);
});
