// The map on the desk: marks can be chosen, what a search finds is on it, and the focus stays where it was.
import { accessible, fact, languageIsShown, liveVehicles, mapIsReady, must, picture, until, visit } from './harness.mjs';

const DESK = { width: 1440, height: 900 };
/** Clicks across the map until a mark was hit. */
async function pick(page) {
  const box = await page.locator('section.map canvas').boundingBox();
  const at = async () => JSON.parse((await page.getAttribute('section.map [data-ready]', 'data-mark')) ?? 'null');
  await until(async () => (await at()) !== null, 'a mark in sight');
  const [x, y] = await at();
  await page.mouse.click(box.x + x, box.y + y);
  await page.waitForSelector('[data-picked]');
}

await fact('an owner chooses a mark on the map and comes to its card', { as: 'owner', ...DESK }, async (page) => {
  await mapIsReady(page);
  await liveVehicles(page, 3);
  await visit(page, 'alerts');
  await pick(page);
  const plate = await page.textContent('[data-picked]');
  must(/^湘H/.test(plate), plate);
  await accessible(page, 'a chosen mark');
  await picture(page, 'owner-picked-en');
  await page.locator('.picked').getByRole('button', { name: 'Vehicle' }).click();
  await page.waitForFunction((p) => document.activeElement.dataset.plate === p, plate);
});

await fact('an operator chooses a mark and is shown no plate', { as: 'operator', ...DESK, locale: 'zh-CN' }, async (page) => {
  await mapIsReady(page);
  await liveVehicles(page, 10);
  await pick(page);
  must((await page.textContent('[data-picked]')) === '车牌不在此显示', 'no plate');
  await picture(page, 'operator-picked-zh');
});

await fact('what an area search finds is on the map, and leads to its track', { as: 'police', ...DESK }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'area');
  await page.fill('textarea[name=corners]', '28.40, 112.20\n28.40, 112.60\n28.70, 112.60\n28.70, 112.20');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForFunction(() => Number(document.querySelector('[data-found]')?.dataset.found ?? 0) > 0);
  await page.waitForSelector('text=The purple marks');
  await accessible(page, 'what was found in an area');
  const table = page.locator('.panel .scroll');
  must(await table.evaluate((e) => e.scrollWidth <= e.clientWidth), 'no column is cut');
  await picture(page, 'police-hits-en');
  await pick(page);
  must(/^湘H/.test(await page.textContent('[data-picked]')), 'a mark is chosen, not a corner drawn');
  must((await page.inputValue('textarea[name=corners]')).split('\n').length === 4, 'the area is as it was');
  await page.locator('.picked').getByRole('button', { name: 'Close' }).click();
  const plate = page.locator('tbody tr button').first();
  await plate.focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('[data-fixes]');
  must(await plate.evaluate((e) => e === document.activeElement), 'the focus stays on the vehicle that was chosen');
});

await fact('the police see when a grant ends to the minute, and choose what they found on the map', { as: 'police', ...DESK }, async (page) => {
  await mapIsReady(page);
  await page.waitForFunction(() => /Until .*\d\d:\d\d/.test(document.querySelector('.panel').textContent));
  await page.fill('input[name=text]', 'D0001');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForFunction(() => Number(document.querySelector('[data-found]')?.dataset.found ?? 0) > 0);
  await pick(page);
  must(/^湘H/.test(await page.textContent('[data-picked]')), 'its plate');
  await page.locator('.picked').getByRole('button', { name: 'Track' }).click();
  await page.waitForSelector('[data-fixes]');
  await picture(page, 'police-picked-en');
});

await fact('no column of the trackers is cut on the desk', { as: 'operator', ...DESK, map: false }, async (page) => {
  await page.waitForSelector('[data-tracker]');
  for (const language of ['中文', 'English']) {
    await page.getByRole('button', { name: language, exact: true }).click();
    await languageIsShown(page);
    const [wide, room] = await page.locator('.panel .scroll').evaluate((e) => [e.scrollWidth, e.clientWidth]);
    must(wide <= room, `${wide} px of ${room}`);
    await picture(page, `operator-desk-${language === 'English' ? 'en' : 'zh'}`);
  }
});

await fact('trackers that are late are counted and can be asked for', { as: 'operator', map: false, locale: 'zh-CN' }, async (page) => {
  const tracker = (id, contact) => ({
    id, ident: `t${id}`, protocol: 'gt06', plate: null, organisation: null, state: contact, last_heard_at: null, report_interval_s: 60, battery_percent: null,
    signal_percent: null, satellites: null, firmware: null, quarantined_packets: 0, last_error: null,
  });
  const asked = [];
  await page.route(/\/api\/v1\/trackers/, (route) => {
    asked.push(new URL(route.request().url()).searchParams.get('state'));
    return route.fulfill({ json: { trackers: [tracker('1', 'late')], next_cursor: null, counts: { online: 5, late: 1, silent: 2, never: 3 } } });
  });
  await page.reload();
  await page.waitForSelector('[data-count=late]:has-text("迟到 1")');
  await page.waitForSelector('[data-contact=late]');
  await page.selectOption('select[name=state]', 'late');
  await until(() => asked.at(-1) === 'late', 'late ones are asked for');
});
