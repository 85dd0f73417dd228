// The page in a real browser, against the real server, as each role.
//
// RIDEGUARD_URL: the server. RIDEGUARD_LOGINS: its file of demonstration logins. CHROMIUM: the browser,
// if it is not where Debian puts it. RIDEGUARD_SCREENSHOTS: a folder for pictures of every page.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const url = process.env.RIDEGUARD_URL ?? 'http://127.0.0.1:8080';
const logins = new Map(
  readFileSync(process.env.RIDEGUARD_LOGINS ?? 'data/demo-logins', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')),
);
const pictures = process.env.RIDEGUARD_SCREENSHOTS;
if (pictures) mkdirSync(pictures, { recursive: true });
const found = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/snap/bin/chromium'];
const executablePath = process.env.CHROMIUM ?? found.find((path) => existsSync(path));
const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync',
    '--disable-component-update', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist',
  ],
});
/** Longest anything on the page may take, ms; software rendering on a busy machine is slow. */
const PATIENCE_MS = 30_000;
let [passed, failed] = [0, 0];

/** One fact in a browser context of its own; any console error or foreign request breaks it. */
async function fact(name, { locale = 'en-GB', width = 1280, height = 800, args } = {}, check) {
  const context = await browser.newContext({ locale, viewport: { width, height }, timezoneId: 'America/Lima', ...args });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A refused log-in is a failed request by design.
    if (message.type() === 'error' && !/status of 401/.test(message.text())) problems.push(message.text());
  });
  page.on('request', (request) => {
    const to = request.url();
    if (!to.startsWith(url) && !/^(data|blob):/.test(to)) problems.push(`request to ${to}`);
  });
  try {
    await page.goto(url);
    await check(page);
    if (problems.length) throw new Error(problems.join('\n'));
    passed++;
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}\n  ${String(error.message ?? error).split('\n').slice(0, 12).join('\n  ')}`);
    if (pictures) await page.screenshot({ path: `${pictures}/failed-${passed + failed}.png` }).catch(() => {});
  } finally {
    await context.close();
  }
}

const must = (is, what) => {
  if (!is) throw new Error(what);
};
async function logIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', logins.get(login));
  await page.click('button.primary');
  await page.waitForSelector('header nav a');
}
const picture = (page, name) => (pictures ? page.screenshot({ path: `${pictures}/${name}.png` }) : undefined);
const mapIsReady = (page) => page.waitForSelector('[data-ready=true] canvas');
const liveVehicles = (page, atLeast) =>
  page.waitForFunction((n) => Number(document.querySelector('[data-vehicles]')?.dataset.vehicles ?? 0) >= n, atLeast);
/** Whether the map has drawn something: a map in one colour has not. */
const colours = async (page) => {
  const png = await page.locator('.map canvas').screenshot();
  return png.length;
};

await fact('a wrong password is told and lets nobody in', {}, async (page) => {
  await page.fill('input[name=login]', 'owner');
  await page.fill('input[name=password]', 'wrong');
  await page.click('button.primary');
  await page.waitForSelector('[role=alert]');
  must((await page.textContent('[role=alert]')).includes('wrong'), 'the reason is told');
  await picture(page, 'login-en');
});

await fact('an owner sees the vehicles live, and arms and disarms', {}, async (page) => {
  await logIn(page, 'owner');
  await mapIsReady(page);
  await liveVehicles(page, 1);
  must((await page.locator('article.card').count()) === 3, 'three vehicles');
  const card = page.locator('article.card').nth(2);
  for (const armed of [true, false]) {
    const now = (await card.locator('[data-armed]').getAttribute('data-armed')) === 'true';
    if (now === armed) continue;
    await card.locator('button').first().click();
    await page.waitForFunction(
      (a) => document.querySelectorAll('article.card')[2].querySelector('[data-armed]').dataset.armed === String(a),
      armed,
    );
  }
  await page.waitForTimeout(500);
  must((await colours(page)) > 20_000, 'the map is drawn');
  await picture(page, 'owner-vehicles-en');
});

await fact('the staged theft is in the list of alerts, with its evidence', {}, async (page) => {
  await logIn(page, 'owner');
  await page.click('a[href="#/alerts"]');
  await page.waitForSelector('li.wakes', { timeout: 120_000 });
  await page.locator('li.wakes').first().getByRole('button', { name: 'Incident' }).click();
  await page.locator('.panel details summary').first().click();
  must((await page.locator('pre').first().textContent()).includes('thresholds'), 'the evidence has thresholds');
  await picture(page, 'owner-alerts-en');
  await page.click('a[href="#/vehicles"]');
  await page.waitForSelector('article.stolen');
  await mapIsReady(page);
  await liveVehicles(page, 3);
  await page.getByRole('button', { name: 'Show on the map' }).first().click();
  await page.waitForTimeout(1200);
  await picture(page, 'owner-theft-en');
});

await fact('an incident has a timeline and a track, and its owner answers it', {}, async (page) => {
  await logIn(page, 'owner');
  await mapIsReady(page);
  await page.click('a[href="#/alerts"]');
  await page.locator('li.wakes').first().getByRole('button', { name: 'Incident' }).click();
  await page.waitForSelector('[data-incident] ol li');
  await page.getByRole('button', { name: 'It is stolen' }).click();
  await page.waitForSelector('text=The owner answered: It is stolen');
  must(['confirmed', 'followed'].includes(await page.getAttribute('[data-state]', 'data-state')), 'the owner confirms it');
  await page.getByRole('button', { name: 'Show its track' }).click();
  await page.waitForFunction(() => Number(document.querySelector('[data-fixes]')?.dataset.fixes) > 0);
  await page.waitForTimeout(800);
  await picture(page, 'owner-incident-en');
  await page.getByRole('button', { name: '中文' }).click();
  await page.waitForSelector('text=车主回答');
  await picture(page, 'owner-incident-zh');
});

await fact('a vehicle is guarded by a schedule and after parking, and a phone is bound', {}, async (page) => {
  await logIn(page, 'owner');
  const card = page.locator('article.card').nth(1);
  await card.locator('summary').click();
  await card.locator('input[name=auto]').check();
  await card.locator('input[name=schedule]').check();
  await card.getByRole('button', { name: 'Save' }).click();
  await page.waitForSelector('text=in force');
  await card.getByRole('button', { name: 'Bind a phone' }).click();
  await page.waitForSelector('code');
  must(/^[0-9a-f]{64}$/.test(await page.textContent('code')), 'a token');
  await picture(page, 'owner-guarding-en');
  await page.reload();
  await page.locator('article.card').nth(1).locator('summary').click();
  await page.waitForFunction(() => document.querySelector('input[name=auto]')?.checked);
  await page.getByRole('button', { name: 'Forget all phones (1)' }).click();
  await page.waitForSelector('text=Forget all phones', { state: 'detached' });
  await page.getByRole('button', { name: '中文' }).click();
  await picture(page, 'owner-guarding-zh');
});

await fact('a corridor with a schedule is drawn, in the datum of Chinese maps', { locale: 'zh-CN' }, async (page) => {
  await logIn(page, 'operator');
  await mapIsReady(page);
  await page.click('a[href="#/zones"]');
  await page.fill('input[name=zone]', '禁摩路段');
  await page.selectOption('select[name=rule]', 'forbidden');
  await page.selectOption('select[name=kind]', 'motorcycle');
  await page.selectOption('select[name=shape]', 'corridor');
  await page.selectOption('select[name=crs]', 'gcj02');
  await page.check('input[name=bytime]');
  const box = await page.locator('.map canvas').boundingBox();
  for (const [x, y] of [[0.3, 0.4], [0.6, 0.5], [0.7, 0.7]]) await page.mouse.click(box.x + box.width * x, box.y + box.height * y);
  await page.waitForFunction(() => document.querySelector('textarea[name=corners]').value.split('\n').length === 3);
  await picture(page, 'operator-zone-form-zh');
  await page.getByRole('button', { name: '添加' }).click();
  await page.waitForSelector('li.card');
  const text = await page.textContent('li.card');
  must(text.includes('摩托车') && text.includes('GCJ-02') && text.includes('22:00–06:00'), text);
  await page.getByRole('button', { name: '在地图上查看' }).click();
  await page.waitForTimeout(1000);
  await picture(page, 'operator-zones-zh');
  await page.getByRole('button', { name: '删除' }).click();
  await page.waitForSelector('li.card', { state: 'detached' });
});

await fact('the track of the day is drawn, listed and played', {}, async (page) => {
  await logIn(page, 'owner');
  await mapIsReady(page);
  await page.click('a[href="#/track"]');
  await page.waitForSelector('[data-fixes]');
  must(Number(await page.getAttribute('[data-fixes]', 'data-fixes')) > 3, 'fixes');
  await page.waitForFunction(() => Number(document.querySelector('[data-track]')?.dataset.track) > 3);
  await page.locator('.panel details summary').click();
  must((await page.locator('tbody tr').count()) > 3, 'rows');
  await page.getByRole('button', { name: 'Play' }).click();
  await page.waitForFunction(() => Number(document.querySelector('input[type=range]').value) > 0);
  await page.waitForTimeout(800);
  await picture(page, 'owner-track-en');
});

await fact('a zone is made by clicks on the map, and deleted', {}, async (page) => {
  await logIn(page, 'owner');
  await mapIsReady(page);
  await page.click('a[href="#/zones"]');
  await page.fill('input[name=zone]', 'Home <b>x</b>');
  const box = await page.locator('.map canvas').boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction(() => /^28\.\d+, 112\.\d+$/.test(document.querySelector('input[name=centre]').value));
  await page.getByRole('button', { name: 'Add' }).click();
  await page.waitForSelector('li.card');
  must((await page.locator('li.card strong').first().textContent()) === 'Home <b>x</b>', 'a name is text');
  await picture(page, 'owner-zones-en');
  await page.getByRole('button', { name: 'Delete' }).first().click();
  await page.waitForSelector('li.card', { state: 'detached' });
});

await fact('the page speaks Chinese, also on a phone', { locale: 'zh-CN', width: 390, height: 844 }, async (page) => {
  must((await page.textContent('button.primary')) === '登录', 'Chinese by the browser');
  await picture(page, 'login-zh-phone');
  await logIn(page, 'owner');
  await mapIsReady(page);
  await liveVehicles(page, 1);
  await page.waitForSelector('article.card');
  await page.waitForTimeout(800);
  await picture(page, 'owner-vehicles-zh-phone');
  must(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the phone');
  for (const name of ['alerts', 'track', 'zones']) {
    await page.click(`a[href="#/${name}"]`);
    await page.waitForTimeout(700);
    await picture(page, `owner-${name}-zh-phone`);
    must(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} fits the phone`);
  }
  await page.getByRole('button', { name: 'English' }).click();
  await page.waitForSelector('text=Zones');
});

await fact('the police search by plate and by area, for a case', {}, async (page) => {
  await logIn(page, 'police');
  await mapIsReady(page);
  await page.fill('input[name=text]', 'D000');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForSelector('tbody tr button');
  await page.locator('tbody tr button').first().click();
  await page.waitForSelector('[data-fixes]');
  await page.waitForTimeout(800);
  await picture(page, 'police-search-en');
  await page.click('a[href="#/area"]');
  await page.fill('textarea[name=corners]', '28.40, 112.20\n28.40, 112.60\n28.70, 112.60\nhere');
  await page.waitForSelector('text=Line 4');
  await page.fill('textarea[name=corners]', '28.40, 112.20\n28.40, 112.60\n28.70, 112.60\n28.70, 112.20');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForSelector('[data-hits]');
  must(Number(await page.getAttribute('[data-hits]', 'data-hits')) > 10, 'hits');
  await page.check('input[type=checkbox]');
  await liveVehicles(page, 10);
  await page.waitForTimeout(800);
  await picture(page, 'police-area-en');
});

await fact('the operator sees every tracker, and no plate on the map', { locale: 'zh-CN' }, async (page) => {
  await logIn(page, 'operator');
  await mapIsReady(page);
  await liveVehicles(page, 10);
  await page.waitForSelector('[data-tracker]');
  must((await page.locator('[data-tracker]').count()) > 10, 'trackers');
  await page.fill('input[type=search]', 'yy000001');
  await page.locator('form button.primary').click();
  await page.waitForFunction(() => document.querySelectorAll('[data-tracker]').length === 1);
  await page.fill('input[type=search]', '');
  await page.locator('form button.primary').click();
  await page.waitForTimeout(1200);
  await picture(page, 'operator-zh');
});

await fact('a session of the tab goes on after a reload, and ends with logging out', {}, async (page) => {
  await logIn(page, 'owner');
  await page.reload();
  await page.waitForSelector('article.card');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForSelector('input[name=login]');
  await page.reload();
  await page.waitForSelector('input[name=login]');
});

await fact('without WebGL everything but the map works', {}, async (page) => {
  await page.addInitScript(() => {
    HTMLCanvasElement.prototype.getContext = () => null;
  });
  await page.reload();
  await logIn(page, 'owner');
  await page.waitForSelector('text=no WebGL2');
  await page.waitForSelector('article.card');
  await page.click('a[href="#/track"]');
  await page.waitForSelector('[data-fixes]');
});

await browser.close();
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
