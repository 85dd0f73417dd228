// The pictures of docs/web: what each role sees, on a phone and on a desk, in Chinese and in English.
// Usage: node scripts/screenshots.mjs FOLDER zh|en, from scripts/screenshots, which starts the server and the city.
//
// PNG, because the page is text and flat colours: JPEG blurs its letters, and not every reader of Markdown shows WebP.
// A palette of 128 colours makes a picture of 140 KiB one of 45; `pngquant` (a package of Debian) does it, where it is installed.
// The fields of a date follow the browser's language, not the page's: LANGUAGE, and Debian's `chromium-l10n`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { call, end, enter, fact, liveVehicles, mapIsReady, must, sessions, until } from '../tests/browser/harness.mjs';

const [folder, language] = process.argv.slice(2);
/** The largest that a picture may be, bytes. */
const BYTES_MAX = 150 * 1024;
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1440, height: 900 } };
const { locale, search } = { zh: { locale: 'zh-CN', search: '查询' }, en: { locale: 'en-GB', search: 'Search' } }[language];
/** The plates of the owner who can log in, as `up --demo` makes them; the first is stolen. */
const STOLEN = '湘H·D0001';
/** Longest until a tracker counts as silent, ms. */
const SILENT_MS = 480_000;
/** A map that is drawn is at least so large, bytes. */
const DRAWN_BYTES = 6_000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

mkdirSync(folder, { recursive: true });

/** What the owner sees: the alarm, the map, the vehicles. */
async function owner(page) {
  await liveVehicles(page, 3);
  await page.waitForSelector('[data-unseen] [role=alert]');
  await page.waitForSelector('[data-protection=no_contact]');
  await page.locator(`[data-plate="${STOLEN}"] [data-stolen]`).waitFor();
}

/** What the police see: a vehicle by its plate, for a case, and its track. */
async function police(page) {
  await page.fill('input[name=text]', STOLEN.slice(-5));
  await page.getByRole('button', { name: search, exact: true }).click();
  await page.locator('tbody tr button').first().click();
  await page.waitForSelector('[data-fixes]');
  must(Number(await page.getAttribute('[data-fixes]', 'data-fixes')) > 20, 'a track');
  // Amid its ride, so that the mark is not at its end.
  await page.locator('input[type=range]').evaluate((slider) => {
    slider.value = String(Math.round(Number(slider.max) * 0.6));
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  });
}

/** What the operator sees: every tracker with its state. */
async function operator(page) {
  await liveVehicles(page, 30);
  for (const state of ['online', 'late', 'silent', 'never']) await page.locator(`[data-contact=${state}]`).first().waitFor();
}

/** What stands below the map on a phone, if it is not the page's beginning. */
const BELOW = { police: '.panel > .card.scroll', operator: '.panel > .card.scroll' };

/** Fewer colours, where the tool for it is installed. */
function shrink(path) {
  const tool = spawnSync('pngquant', ['128', '--strip', '--speed', '1', '--force', '--output', path, path]);
  if (tool.error) console.log('pngquant is not installed: the picture keeps all its colours');
  else must(tool.status === 0, `pngquant: ${tool.stderr}`);
  const { size: bytes } = statSync(path);
  console.log(`${path}: ${Math.round(bytes / 1024)} KiB`);
  must(tool.error || bytes <= BYTES_MAX, `${path} is larger than ${BYTES_MAX} bytes`);
}

await fact('the city is as the pictures need it', { as: 'owner', map: false }, async (page) => {
  await page.waitForSelector('article.card');
  const { vehicles } = await call('GET', '/vehicles', sessions.get('owner'));
  // The stolen one is guarded from the start; the others as well, and one of them falls silent.
  for (const { id, armed } of vehicles) if (!armed) await call('POST', `/vehicles/${id}/arm`, sessions.get('owner'));
  await enter(page, 'operator');
  const counts = async () => (await call('GET', '/trackers', sessions.get('operator'))).counts;
  const last = Date.now() + SILENT_MS;
  for (let now = await counts(); now.late < 1 || now.silent < 1; now = await counts()) {
    must(Date.now() < last, `trackers: ${JSON.stringify(now)}`);
    await sleep(2000);
  }
});

for (const [role, show] of Object.entries({ operator, owner, police })) {
  for (const [size, screen] of Object.entries(SIZES)) {
    const name = `${role}-${size}-${language}`;
    await fact(name, { as: role, locale, ...screen, args: { timezoneId: 'Asia/Shanghai' } }, async (page) => {
      await mapIsReady(page);
      await show(page);
      // A map in one colour packs into less.
      await until(async () => (await page.locator('.map canvas').screenshot()).length > DRAWN_BYTES, 'the map is drawn');
      if (size === 'phone' && BELOW[role]) await page.locator(BELOW[role]).evaluate((e) => e.scrollIntoView());
      await page.waitForTimeout(2500);
      const path = `${folder}/${name}.png`;
      await page.screenshot({ path });
      shrink(path);
    });
  }
}
await end();
