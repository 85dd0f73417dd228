// A browser, people who log in, and facts: each in a context of its own.
import { setTimeout as pause } from 'node:timers/promises';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

export const url = process.env.RIDEGUARD_URL ?? 'http://127.0.0.1:8080';
/** The set-up address of a server that nobody has come into yet. */
export const setUpAddress = process.env.RIDEGUARD_SETUP;
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
const PATIENCE_MS = 60_000;
let [passed, failed] = [0, 0];

/**
 * One fact in a browser context of its own; any console error or foreign request breaks it.
 * `as`: who is logged in from the start. `expected`: console errors that belong to the fact. `map`: whether it is
 * drawn; without a graphics card it is most of the work, and many facts are not about it.
 */
export async function fact(name, { as, map = true, locale = 'en-GB', width = 1280, height = 800, expected, args, at = url } = {}, check) {
  // A worker answers past the answers of a fact; the fact about it lets it in.
  const context = await browser.newContext({ locale, viewport: { width, height }, timezoneId: 'America/Lima', serviceWorkers: 'block', ...args });
  if (!map) await context.addInitScript(() => (HTMLCanvasElement.prototype.getContext = () => null));
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // Whether somebody is logged in, only the server knows: the page asks, and "no" is an answer.
    const isAsking = message.location().url.endsWith('/api/v1/me') && /status of 401/.test(message.text());
    // axe copies elements with their style. What the page does has an address.
    const isOfAxe = message.location().url === '' && message.text().startsWith('Applying inline style');
    if (message.type() === 'error' && !isAsking && !isOfAxe && !expected?.test(message.text())) problems.push(`${message.text()} (${message.location().url}:${message.location().lineNumber})`);
  });
  page.on('request', (request) => {
    const to = request.url();
    if (!to.startsWith(new URL(at).origin) && !/^(data|blob):/.test(to)) problems.push(`request to ${to}`);
  });
  const began = Date.now();
  try {
    if (as) await enter(page, as);
    else await page.goto(at);
    await check(page);
    if (problems.length) throw new Error(problems.join('\n'));
    passed++;
    console.log(`ok ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}\n  ${String(error.message ?? error).split('\n').slice(0, 12).join('\n  ')}`);
    if (pictures) await page.screenshot({ path: `${pictures}/failed-${passed + failed}.png` }).catch(() => {});
  } finally {
    await context.close();
  }
}

/** Closes the browser and ends with the verdict. */
export async function end() {
  await browser.close();
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

export const must = (is, what) => {
  if (!is) throw new Error(what);
};

/** A request of its own, past the page. */
export async function call(method, path, token, body, more = {}) {
  const headers = { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }), ...more };
  const answer = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  must(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

export const sessions = new Map();
/** The browser's session of this login; the form itself has facts of its own. */
export const COOKIE = 'rideguard_session';
/** Opens the page in a session of this login, as after a reload. */
export async function enter(page, login) {
  if (!sessions.has(login)) {
    sessions.set(login, (await call('POST', '/session', null, { login, password: logins.get(login) })).token);
  }
  await page.context().addCookies([{ name: COOKIE, value: sessions.get(login), url, httpOnly: true, sameSite: 'Strict' }]);
  await page.goto(url);
  await page.waitForSelector('header nav a');
}

export async function logIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', logins.get(login));
  await page.click('button.primary');
  await page.waitForSelector('header nav a');
}

/** A picture for people, once the map stands still; nothing is checked by it. */
export async function picture(page, name) {
  if (!pictures) return;
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${pictures}/${name}.png` });
}
export const mapIsReady = (page) => page.waitForSelector('[data-ready=true] canvas');
export const liveVehicles = (page, atLeast) =>
  page.waitForFunction((n) => Number(document.querySelector('[data-vehicles]')?.dataset.vehicles ?? 0) >= n, atLeast);
/** Waits until it is so: for what only this side can see. */
export async function until(isSo, what) {
  // The pause lets the event loop run: without it nothing that is waited for could come.
  for (const end = Date.now() + PATIENCE_MS; !(await isSo()); await pause(20)) must(Date.now() < end, what);
}
/** Goes to a page by its link. The page before it may have fields of the same name, and stands until the address is read. */
export async function visit(page, name) {
  await page.click(`a[href="#/${name}"]`);
  await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
}
/** Answers questions about a path instead of the server, until the returned function is called. */
export async function answer(page, path, status, body) {
  const where = (to) => to.pathname === `/api/v1${path}`;
  await page.route(where, (route) => route.fulfill({ status, json: body }));
  return () => page.unroute(where);
}

/** Nothing has to be scrolled sideways. */
export const isNarrow = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

/** Another language comes with its words; until then the page stands in the one before. */
export const languageIsShown = (page) => page.waitForFunction(() => !document.documentElement.hasAttribute('data-changing'));

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Everything that axe-core finds against WCAG 2.1 A and AA; the map's canvas is MapLibre's. */
export async function accessible(page, where) {
  await languageIsShown(page);
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
    const { violations } = await globalThis.axe.run({ exclude: ['canvas'] }, { runOnly, resultTypes: ['violations'] });
    return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
  });
  must(found.length === 0, `${where}: ${found.join('; ')}`);
  must(await isNarrow(page), `${where} is wider than the screen`);
}
