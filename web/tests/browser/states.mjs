// What the page shows when there is nothing, when the server fails, and when the line breaks.
import { accessible, answer, call, enter, fact, mapIsReady, must, picture, sessions, until, visit } from './harness.mjs';

const FAILED_REQUESTS = /Failed to load resource/;
const OFFLINE = /Failed to load resource|ERR_INTERNET_DISCONNECTED|WebSocket/;

await fact('too many attempts and a failing server are told at the log-in, in both languages', { expected: FAILED_REQUESTS }, async (page) => {
  await page.fill('input[name=login]', 'owner');
  await page.fill('input[name=password]', 'x');
  const refused = (error, code, values) => ({ error, code, message: 'because', values });
  for (const [status, said, text] of [
    [429, refused('too_many_requests', 'too_many_logins', { wait_s: 4 }), 'Too many attempts; try again in 4 s'],
    [401, refused('unauthenticated', 'wrong_login', {}), 'Login or password is wrong'],
    [409, refused('of_tomorrow', 'of_tomorrow', {}), '(because)'],
    [503, refused('unavailable', 'unavailable', {}), 'away'],
    [500, refused('internal', 'internal', {}), 'mistake'],
  ]) {
    const restore = await answer(page, '/session', status, said);
    await page.click('button.primary');
    await page.waitForSelector(`[role=alert]:has-text("${text}")`);
    await restore();
  }
  await accessible(page, 'a failed log-in');
  await page.getByRole('button', { name: '中文' }).click();
  await page.waitForSelector('[role=alert]:has-text("服务器出错")');
  must((await page.getAttribute('html', 'lang')) === 'zh-CN', 'the language is told to screen readers');
  await accessible(page, 'a failed log-in in Chinese');
});

await fact('an owner who has nothing is told so on every page', { as: 'owner', map: false }, async (page) => {
  await answer(page, '/vehicles', 200, { vehicles: [] });
  await answer(page, '/alerts', 200, { alerts: [], next_cursor: null });
  await answer(page, '/zones', 200, { zones: [] });
  await page.reload();
  for (const [name, text] of [
    ['vehicles', 'No vehicle is bound to you yet'], ['alerts', 'No alerts'], ['track', 'No vehicle is bound'], ['zones', 'No zones yet'],
  ]) {
    await visit(page, name);
    await page.waitForSelector(`.panel >> text=${text}`);
    await accessible(page, `${name} without anything`);
    await picture(page, `empty-${name}-en`);
  }
});

await fact('the police without a grant, and the operator without trackers, are told so', { as: 'police', map: false }, async (page) => {
  await answer(page, '/grants', 200, { grants: [] });
  await page.reload();
  await page.waitForSelector('text=no grant in force');
  must(await page.locator('form button.primary').isDisabled(), 'nothing to search under');
  await accessible(page, 'a search without a grant');
  await picture(page, 'empty-grant-en');
  await enter(page, 'operator');
  await page.waitForSelector('[data-tracker]');
  await page.fill('input[type=search]', 'no such tracker');
  await page.locator('form button.primary').click();
  await page.waitForSelector('td:has-text("Nothing found")');
});

await fact('a session that ends elsewhere leads to the log-in page', { as: 'owner', map: false, expected: /status of 401/ }, async (page) => {
  await page.waitForSelector('article.card');
  const token = sessions.get('owner');
  // The page's own questions are refused from now on, as the server refuses a revoked session.
  await page.route((to) => to.pathname.startsWith('/api/v1/'), (route) =>
    route.fulfill({ status: 401, json: { error: 'unauthenticated', message: 'log in first' } }),
  );
  // Whichever question comes first ends it; a link may be gone before it is clicked.
  await page.evaluate(() => (location.hash = '#/alerts'));
  await page.waitForSelector('text=Your session has ended');
  await page.waitForFunction(() => document.activeElement?.getAttribute('name') === 'login');
  await call('GET', '/me', token);
});

await fact('a server that is away at a reload is asked again, and nobody is logged out', { as: 'owner', map: false, expected: FAILED_REQUESTS }, async (page) => {
  const restore = await answer(page, '/me', 503, { error: 'unavailable', message: 'try again' });
  await page.reload();
  await page.waitForSelector('[role=alert]:has-text("away for the moment")');
  await accessible(page, 'a server that is away');
  await restore();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.waitForSelector('article.card');
});

await fact('a failed look keeps what is known, says so, and tries again', { as: 'owner', map: false, expected: FAILED_REQUESTS }, async (page) => {
  await page.waitForSelector('article.card');
  const restore = await answer(page, '/zones', 500, { error: 'internal', message: 'oh' });
  await visit(page, 'zones');
  await page.waitForSelector('[role=alert]:has-text("The server made a mistake")');
  must((await page.locator('text=No zones yet').count()) === 0, 'what is not known is not said to be empty');
  await restore();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.waitForSelector('text=No zones yet');
});

await fact('arming shows only what the server confirmed, and a double click asks once', { as: 'owner', map: false }, async (page) => {
  const card = page.locator('article.card').nth(2);
  const isArmed = async () => (await card.locator('[data-armed]').getAttribute('data-armed')) === 'true';
  await card.waitFor();
  const before = await isArmed();
  let asked = 0;
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  await page.route(/\/(arm|disarm)$/, async (route) => {
    asked++;
    await gate;
    await route.continue();
  });
  await card.getByRole('button', { name: /^(Arm|Disarm)$/ }).dblclick({ force: true });
  await card.locator('[role=status]:has-text("waiting for the guard")').waitFor();
  must((await isArmed()) === before, 'nothing is shown before it holds');
  await picture(page, 'owner-pending-en');
  open();
  await page.waitForFunction(
    (armed) => document.querySelectorAll('article.card')[2].querySelector('[data-armed]').dataset.armed === String(armed),
    !before,
  );
  await until(async () => (await card.locator('[role=status]').first().textContent()) === '', 'the waiting ends');
  must(asked === 1, `asked ${asked} times`);
  await card.getByRole('button', { name: before ? 'Arm' : 'Disarm', exact: true }).click();
  await until(async () => (await isArmed()) === before, 'it is as before');
});

await fact('a broken live line is told with its age, and what it missed is told once when it is back', { as: 'owner', expected: OFFLINE }, async (page) => {
  await page.waitForSelector('[data-live=live]', { state: 'attached' });
  await page.waitForSelector('article.card');
  await mapIsReady(page);
  await page.context().setOffline(true);
  await page.waitForSelector('[data-live=stale] >> text=Data as of');
  await accessible(page, 'a broken live line');
  await picture(page, 'owner-stale-en');
  // Newer than the staged theft, which may come at the same time.
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const alert = {
    id: '9007199254740993', vehicle_id: '1', plate: '湘H·D0002', kind: 'power_cut', raised_at: later, late: false,
    level: 'alarm', wakes_owner: true, suppressed: false, incident_id: null, lat: 28.55, lon: 112.35,
  };
  await answer(page, '/alerts', 200, { alerts: [alert], next_cursor: null });
  await page.context().setOffline(false);
  await page.waitForSelector('[data-live=live]', { state: 'attached' });
  await page.waitForSelector('[data-unseen] [role=alert]:has-text("power was cut")');
  await accessible(page, 'an alert');
  await picture(page, 'owner-alert-en');
  await page.getByRole('button', { name: 'Alerts', exact: true }).click();
  await page.waitForSelector('li.wakes');
  must((await page.locator('li.card').count()) === 1, 'no alert twice');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await page.waitForFunction(() => !document.querySelector('[data-unseen]')?.textContent.includes('power was cut'));
});
