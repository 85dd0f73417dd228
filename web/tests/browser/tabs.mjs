// One session for the browser: tabs share it, follow its beginning and its end, and no script can read it.
import { fact, logIn, must, until, url } from './harness.mjs';

await fact('a log-in is two cookies that no script can read, and nothing is kept beside them', { map: false }, async (page) => {
  await logIn(page, 'owner');
  const cookies = await page.context().cookies();
  const names = cookies.map((c) => c.name).sort().join(' ');
  must(names === 'rideguard_device rideguard_session' && cookies.every((c) => c.httpOnly && c.sameSite === 'Strict'), names);
  const kept = await page.evaluate(() => [document.cookie, ...Object.values(sessionStorage), ...Object.values(localStorage)].join(' '));
  must(cookies.every((c) => !kept.includes(c.value)), 'no script reads them');
});

await fact('a second tab, and a link into one, are logged in; so is who comes back after the last tab closed', { map: false }, async (page) => {
  await logIn(page, 'owner');
  const second = await page.context().newPage();
  await second.goto(`${url}/#/alerts`);
  await second.waitForSelector('nav a[aria-current][href="#/alerts"]');
  await page.close();
  await second.close();
  const third = await page.context().newPage();
  await third.goto(`${url}/#/track`);
  await third.waitForSelector('nav a[aria-current][href="#/track"]');
});

await fact('open tabs follow a log-in and a log-out', { map: false, expected: /status of 401/ }, async (page) => {
  const second = await page.context().newPage();
  await second.goto(url);
  await second.waitForSelector('input[name=login]');
  await logIn(page, 'owner');
  await second.waitForSelector('article.card');
  await page.getByRole('button', { name: 'Log out' }).click();
  await second.waitForSelector('input[name=login]');
  await second.reload();
  await second.waitForSelector('input[name=login]');
});

await fact('a session that was ended elsewhere ends the page by its stream', { as: 'operator', map: false, expected: /status of 401/ }, async (page) => {
  // A session of its own: the one of the harness is used by other facts.
  await page.context().clearCookies();
  await page.reload();
  await logIn(page, 'operator');
  await page.waitForSelector('[data-live=live]', { state: 'attached' });
  const [cookie] = await page.context().cookies();
  const ended = await fetch(`${url}/api/v1/session`, { method: 'DELETE', headers: { Authorization: `Bearer ${cookie.value}` } });
  must(ended.ok, `${ended.status}`);
  await page.waitForSelector('text=Your session has ended', { timeout: 10_000 });
});

await fact('a log-out that the server could not be told is told as soon as it is back', { map: false, expected: /Failed to load/ }, async (page) => {
  await logIn(page, 'police');
  const [cookie] = await page.context().cookies();
  await page.route('**/api/v1/session', (route) => route.abort());
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForSelector('text=The server could not be reached');
  await page.unroute('**/api/v1/session');
  await page.reload();
  await page.waitForSelector('input[name=login]');
  const asked = () => fetch(`${url}/api/v1/me`, { headers: { Authorization: `Bearer ${cookie.value}` } });
  await until(async () => (await asked()).status === 401, 'the session is over at the server, too');
});
