// From an empty machine to a thousand owners, vehicles and trackers by the page alone; then records are looked at and changed.
import { readFile } from 'node:fs/promises';
import { accessible, COOKIE, fact, languageIsShown, must, picture, until } from './harness.mjs';
import { mqttPort, publish } from './mqtt.mjs';
import { chief } from './people-in.mjs';

const N = 1000;
const BATCH = 'first-thousand';
/** From the log-in to the last packet, ms: five minutes. */
const MS_MAX = 300_000;
const PATIENCE_MS = 120_000;
const { origin } = chief;
const dialog = (page) => page.locator('dialog[open]');
const digits = (n, width) => String(n).padStart(width, '0');
const row = (n) => [`测试车主${digits(n, 4)}`, `1390000${digits(n, 4)}`, `湘H·Z${digits(n, 4)}`, '电动自行车', `rg${digits(n, 6)}`, 'json', BATCH];
const HEAD = ['姓名', '手机号', '车牌号', '车型', '终端号', '协议', '备注'];
const csv = (rows) => Buffer.from([HEAD, ...rows].map((cells) => `${cells.join(',')}\n`).join(''));
const rows = Array.from({ length: N }, (_, n) => row(n));

let token = '';
async function enter(page, where) {
  token ||= await chief.session();
  await page.context().addCookies([{ name: COOKIE, value: token, url: origin, httpOnly: true, sameSite: 'Strict' }]);
  await page.goto(`${origin}/#/${where}`);
  await page.reload();
  await page.waitForSelector('header nav a');
}
async function ask(path) {
  const answer = await fetch(`${origin}/api/v1${path}`, { headers: { Authorization: `Bearer ${token}` } });
  must(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}
async function send(page, name, buffer, reason) {
  // A file that could not be read can be sent again: that field is another one, in no form.
  await page.locator('form input[name=file]').setInputFiles({ name, mimeType: 'text/csv', buffer });
  await page.fill('input[name=import-reason]', reason);
  await page.locator('form button.primary').click();
}
const next = (page) => page.locator('button.primary', { hasText: /^(Next|下一步)$/ }).click();

const began = Date.now();
await fact('a file with faults is told line by line in the reader’s language, and nothing of it is written', { at: origin, map: false, locale: 'zh-CN', expected: /status of (400|409)/, width: 1440, height: 900 }, async (page) => {
  await enter(page, 'import');
  await send(page, 'empty.csv', Buffer.from('\n'), '试导');
  await page.waitForSelector('[role=alert]:has-text("文件是空的")');
  await page.click('a[href="#/import"]:has-text("全部导入")');
  const bad = [row(0), ['测试车主', '12', '湘H·Z9001', '三轮车', 'a b', 'json', BATCH], row(0)];
  await send(page, '一批.csv', csv(bad), '试导');
  await page.waitForSelector('[data-import=checked][data-step="1"]');
  await accessible(page, 'the columns');
  await picture(page, 'import-columns-zh');
  await next(page);
  await page.waitForSelector('[data-bad="2"]');
  for (const [name, said] of [['3 phone', '11 位大陆手机号'], ['3 kind', '电动自行车'], ['3 ident', '1 到 32 个字母'], ['4 plate', '与第 2 行重复']]) {
    const text = await page.locator(`[data-row="${name}"] [data-column=allowed]`).textContent();
    must(text.includes(said), `${name}: ${text}`);
  }
  await accessible(page, 'the report');
  await picture(page, 'import-report-zh');
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: '下载报告' }).click()]);
  must((await readFile(await file.path(), 'utf8')).includes('三轮车'), 'the report as a file');
  await next(page);
  await page.getByRole('button', { name: '开始导入' }).click();
  await page.waitForSelector('[role=alert]:has-text("3 行中有 2 行有误")');
  await page.getByRole('button', { name: '取消导入' }).click();
  await page.locator('button.danger').click();
  await page.waitForSelector('[data-import=cancelled]');
  must((await ask('/registry/vehicles')).rows.length === 0, 'nothing is written');
});

await fact(`${N} owners, vehicles and trackers come in by one import, and their packets arrive`, { at: origin, map: false, width: 1440, height: 900 }, async (page) => {
  page.setDefaultTimeout(PATIENCE_MS);
  await enter(page, 'import');
  await send(page, 'city.csv', csv(rows), 'the first thousand');
  await page.waitForSelector('[data-import=checked][data-step="1"]');
  // The heading says nothing of a batch.
  await page.selectOption('select[name=column-6]', 'batch');
  await accessible(page, 'the columns');
  await next(page);
  await page.waitForSelector('[data-bad="0"]');
  await next(page);
  await page.getByRole('button', { name: 'Start the import' }).click();
  await page.waitForSelector('[data-import=running], [data-import=done]');
  // The page is lost; who comes back finds the import in the list.
  await enter(page, 'import');
  await page.locator('[data-import]', { hasText: 'city.csv' }).click();
  await page.waitForSelector('[data-import=done][data-step="4"]');
  for (const kind of ['people', 'vehicles', 'trackers']) {
    const made = await page.locator(`[data-made-${kind}]`).textContent();
    must(made === String(N), `${made} ${kind}`);
  }
  await accessible(page, 'it is done');
  await picture(page, 'import-done-en');

  await page.click('a[href="#/trackers"]');
  await page.getByRole('button', { name: 'Register trackers' }).click();
  await dialog(page).locator('select[name=way]').selectOption('batch');
  await dialog(page).locator('input[name=batch]').fill(BATCH);
  await dialog(page).getByRole('button', { name: 'Register', exact: true }).click();
  const [file] = await Promise.all([page.waitForEvent('download'), dialog(page).locator('button.primary', { hasText: `${N}` }).click()]);
  const made = (await readFile(await file.path(), 'utf8')).trim().split('\r\n').slice(1).map((line) => line.split(','));
  must(made.length === N, `${made.length} credentials`);

  const folder = process.env.RIDEGUARD_SETUP_DATA;
  must(folder, 'RIDEGUARD_SETUP_DATA names no folder');
  const config = await readFile(`${folder}/rideguard.toml`, 'utf8');
  const port = mqttPort(config);
  const ca = await readFile(`${folder}/ca.pem`);
  const waiting = [...made];
  const one = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [ident, password, topic] = next;
      const payload = JSON.stringify({ v: 1, id: ident, seq: 1, fixes: [{ t: Date.now(), lat: 28.55, lon: 112.35 }] });
      await publish({ port, ca, ident, password, topic, payload });
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  const heard = async () => {
    const { counts } = await ask('/trackers?limit=1');
    return counts.online + counts.late === N;
  };
  await until(heard, 'every tracker is heard');
  const ms = Date.now() - began;
  console.log(`enrol.first_thousand: ${(ms / 1000).toFixed(1)} s`);
  must(ms < MS_MAX, `it took ${ms} ms`);
});

await fact('an operator finds a vehicle, takes its tracker out and puts it back, and the history says who and why', { at: origin, map: false, expected: /status of 409/, width: 1440, height: 900 }, async (page) => {
  await enter(page, 'registry');
  await page.fill('input[name=q]', 'Z0007');
  await page.locator('form button.primary').click();
  await page.waitForSelector('[data-row="湘H·Z0007"]');
  await until(async () => (await page.locator('tbody tr').count()) === 1, 'one vehicle');
  must(new URL(page.url()).hash.includes('q=Z0007'), 'the search stands in the address');
  must((await page.locator('[data-column=owner_phone]').textContent()).includes('****'), 'phones are masked');
  await accessible(page, 'the registry');
  await picture(page, 'registry-en');
  await page.getByRole('button', { name: 'Open: 湘H·Z0007' }).click();
  await page.waitForSelector('[data-record=vehicles]');
  await dialog(page).locator('summary', { hasText: 'Replace or take out' }).click();
  await dialog(page).locator('input[name=install-reason]').fill('it is broken');
  await dialog(page).getByRole('button', { name: 'Take out' }).click();
  await dialog(page).locator('.danger', { hasText: 'Take out' }).click();
  await dialog(page).locator('summary', { hasText: 'Install a tracker' }).waitFor();
  await dialog(page).locator('input[name=install-ident]').fill('rg000008');
  await dialog(page).locator('input[name=install-reason]').fill('another one');
  await dialog(page).getByRole('button', { name: 'Install', exact: true }).click();
  await dialog(page).locator('[role=alert]', { hasText: 'in another vehicle' }).waitFor();
  await dialog(page).locator('input[name=install-ident]').fill('rg000007');
  await dialog(page).getByRole('button', { name: 'Install', exact: true }).click();
  await dialog(page).locator('[data-history]', { hasText: 'another one' }).waitFor();
  await dialog(page).locator('[data-history]', { hasText: 'it is broken' }).waitFor();
  must((await dialog(page).locator('[data-history]').textContent()).includes('First Administrator'), 'who it was');
  await accessible(page, 'a record');
  await picture(page, 'registry-vehicle-en');
});

await fact('a person’s record opens for a reason, is changed, and one changed meanwhile is not overwritten', { at: origin, map: false, locale: 'zh-CN', expected: /status of (400|409)/, width: 1440, height: 900 }, async (page) => {
  await enter(page, 'registry?kind=people');
  await page.fill('input[name=q]', '测试车主0011');
  await page.locator('form button.primary').click();
  await page.waitForSelector('[data-row="测试车主0011"]');
  must(!decodeURIComponent(page.url()).includes('测试车主'), 'a name stays out of the address');
  await picture(page, 'registry-people-zh');
  await page.getByRole('button', { name: '打开：测试车主0011' }).click();
  await dialog(page).locator('input[name=look-reason]').fill('车主来电核对');
  await dialog(page).getByRole('button', { name: '打开', exact: true }).click();
  await page.waitForSelector('[data-record=people]:has-text("+8613900000011")');
  await dialog(page).locator('summary', { hasText: '修改' }).click();
  await dialog(page).locator('input[name=phone]').fill('12');
  await dialog(page).locator('input[name=change-reason]').fill('换了号码');
  await dialog(page).getByRole('button', { name: '保存' }).click();
  await dialog(page).locator('[role=alert]', { hasText: '11 位大陆手机号' }).waitFor();
  await accessible(page, 'a refused change');
  // Somebody else changes it now.
  const { rows: found } = await ask(`/registry/people?q=${encodeURIComponent('测试车主0011')}`);
  const path = `/registry/people/${found[0].id}`;
  const record = await ask(`${path}?reason=test`);
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'If-Match': `"${record.version}"` };
  const other = await fetch(`${origin}/api/v1${path}`, { method: 'PATCH', headers, body: JSON.stringify({ fields: { name: '测试车主甲' }, reason: 'test' }) });
  must(other.ok, `the other change: ${other.status}`);
  await dialog(page).locator('input[name=phone]').fill('13900009999');
  await dialog(page).getByRole('button', { name: '保存' }).click();
  await dialog(page).locator('[role=alert]', { hasText: '已被他人修改' }).waitFor();
  await page.keyboard.press('Escape');
  await page.fill('input[name=q]', '测试车主甲');
  await page.locator('form button.primary').click();
  await page.getByRole('button', { name: '打开：测试车主甲' }).click();
  await dialog(page).locator('input[name=look-reason]').fill('车主来电核对');
  await dialog(page).getByRole('button', { name: '打开', exact: true }).click();
  await dialog(page).locator('summary', { hasText: '修改' }).click();
  await dialog(page).locator('input[name=phone]').fill('13900009999');
  await dialog(page).locator('input[name=change-reason]').fill('换了号码');
  await dialog(page).getByRole('button', { name: '保存' }).click();
  await page.waitForSelector('[data-record=people]:has-text("+8613900009999")');
  await picture(page, 'registry-person-zh');
});

await fact('a vehicle is handed over by a document, entered by hand, and all of it is written out', { at: origin, map: false, width: 1440, height: 900 }, async (page) => {
  await enter(page, 'registry?kind=vehicles&q=Z0021');
  await page.getByRole('button', { name: 'Open: 湘H·Z0021' }).click();
  await dialog(page).locator('summary', { hasText: 'Hand over' }).click();
  await dialog(page).locator('select[name=hand-over-reason]').selectOption('death');
  await dialog(page).locator('input[name=document]').fill('YY-2026-17');
  await dialog(page).locator('input[name=to]').fill('139 0000 0022');
  await dialog(page).getByRole('button', { name: 'Hand over now' }).click();
  await dialog(page).getByRole('button', { name: '测试车主0022' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Enter a vehicle' }).click();
  await dialog(page).locator('input[name=plate]').fill('湘H Z9999');
  await dialog(page).locator('input[name=owner]').fill('13900000022');
  await dialog(page).locator('input[name=reason]').fill('by hand');
  await accessible(page, 'entering a vehicle');
  await dialog(page).getByRole('button', { name: 'Enter', exact: true }).click();
  await until(async () => (await dialog(page).count()) === 0, 'it is entered');
  await page.getByRole('button', { name: 'Export all' }).click();
  await dialog(page).locator('input[name=export-reason]').fill('a copy of the year');
  const [file] = await Promise.all([page.waitForEvent('download'), dialog(page).getByRole('button', { name: 'Export', exact: true }).click()]);
  const lines = (await readFile(await file.path(), 'utf8')).trim().split('\n');
  must(lines.filter((line) => line.includes('湘H·Z')).length === N + 1, `${lines.length} lines`);
  must(lines.some((line) => line.startsWith('测试车主0021,') && !line.includes('湘H·')), 'who has no vehicle any more is there');
  must(lines.some((line) => line.includes('湘H·Z9999') && line.includes('测试车主0022')), 'what was entered by hand is there');
});

await fact('the registry and imports fit a phone', { at: origin, map: false, locale: 'zh-CN', width: 390, height: 844 }, async (page) => {
  await enter(page, 'registry');
  await page.waitForSelector('[data-row="湘H·Z0000"], tbody [data-row]');
  await languageIsShown(page);
  await accessible(page, 'the registry on a phone');
  await picture(page, 'registry-phone-zh');
  await page.locator('tbody button').first().click();
  await page.waitForSelector('[data-record=vehicles]');
  await accessible(page, 'a record on a phone');
  await picture(page, 'registry-record-phone-zh');
  await enter(page, 'import');
  await page.waitForSelector('[data-import]');
  await accessible(page, 'imports on a phone');
  await picture(page, 'import-phone-zh');
});
