// A workbook as an office has it: a heading that says nothing, a date, a number that Excel shortened, rows that are wrong. Only
// the good rows come in. And the registry finds a name by its last two characters.
import { readFile } from 'node:fs/promises';
import { accessible, COOKIE, fact, must, picture, until } from './harness.mjs';
import { chief } from './people-in.mjs';

const { origin } = chief;

/** CRC-32 (ISO 3309), as a ZIP has it. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
/** A ZIP that packs nothing (PKWARE, APPNOTE 4.3). */
function zip(files) {
  const [parts, list] = [[], []];
  let at = 0;
  for (const [name, text] of Object.entries(files)) {
    const [path, bytes] = [Buffer.from(name), Buffer.from(text)];
    const facts = Buffer.alloc(26);
    facts.writeUInt16LE(20, 0);
    facts.writeUInt32LE(crc32(bytes), 10);
    facts.writeUInt32LE(bytes.length, 14);
    facts.writeUInt32LE(bytes.length, 18);
    facts.writeUInt16LE(path.length, 22);
    const where = Buffer.alloc(14);
    where.writeUInt32LE(at, 10);
    parts.push(Buffer.from('PK\x03\x04'), facts, path, bytes);
    list.push(Buffer.from('PK\x01\x02\x14\x00'), facts, where, path);
    at += 4 + facts.length + path.length + bytes.length;
  }
  const directory = Buffer.concat(list);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Object.keys(files).length, 4);
  end.writeUInt16LE(Object.keys(files).length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, directory, Buffer.from('PK\x05\x06'), end]);
}

const MAIN = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main';
const OFFICE = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
const PACKAGE = 'http://schemas.openxmlformats.org/package/2006/relationships';
/** A workbook (ECMA-376). A cell is a text, a number, or `{ day }` of a date. */
function workbook(rows) {
  const cell = (value, place) =>
    typeof value === 'string' ? `<c r="${place}" t="inlineStr"><is><t>${value}</t></is></c>`
    : typeof value === 'number' ? `<c r="${place}"><v>${value}</v></c>`
    : `<c r="${place}" s="1"><v>${value.day}</v></c>`;
  const lines = rows.map((cells, y) => `<row r="${y + 1}">${cells.map((value, x) => cell(value, `${String.fromCharCode(65 + x)}${y + 1}`)).join('')}</row>`);
  return zip({
    '[Content_Types].xml': '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    '_rels/.rels': `<Relationships xmlns="${PACKAGE}"><Relationship Id="r1" Type="${OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
    'xl/workbook.xml': `<workbook xmlns="${MAIN}" xmlns:r="${OFFICE}"><sheets><sheet name="一批" sheetId="1" r:id="r1"/></sheets></workbook>`,
    'xl/_rels/workbook.xml.rels': `<Relationships xmlns="${PACKAGE}"><Relationship Id="r1" Type="${OFFICE}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="${OFFICE}/styles" Target="styles.xml"/></Relationships>`,
    'xl/styles.xml': `<styleSheet xmlns="${MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>`,
    'xl/worksheets/sheet1.xml': `<worksheet xmlns="${MAIN}"><sheetData>${lines.join('')}</sheetData></worksheet>`,
  });
}

const GOOD = 12;
const row = (n) => [`王晓${'春夏秋冬'[n % 4]}`, 13700000000 + n, `湘H·X${String(n).padStart(4, '0')}`, '电动自行车', `wb${n}`, 'json', '89860000000000000000'.slice(0, 17) + String(100 + n), { day: 46327 }];
const HEAD = ['姓名', '手机号', '车牌号', '车型', '编号', '协议', 'ICCID', '批次'];
const bad = [
  // Line 14: Excel made a number of an ICCID. Line 15: no kind that we know. Line 16: the plate of line 2.
  ['李一', 13700000101, '湘H·X0101', '电动自行车', 'wb101', 'json', 8.986e19, { day: 46327 }],
  ['李二', 137, '湘H·X0102', '三轮车', 'wb102', 'json', '', ''],
  ['李三', 13700000103, '湘H·X0000', '电动自行车', 'wb103', 'json', '', ''],
];

async function enter(page, where) {
  await page.context().addCookies([{ name: COOKIE, value: await chief.session(), url: origin, httpOnly: true, sameSite: 'Strict' }]);
  await page.goto(`${origin}/#/${where}`);
  await page.reload();
  await page.waitForSelector('header nav a');
}
const next = (page) => page.locator('button.primary', { hasText: /^下一步$/ }).click();

await fact('of a workbook with faults the good rows come in, once its columns are named, and the rest is told', { at: origin, map: false, locale: 'zh-CN', expected: /status of (400|409)/, width: 1440, height: 900 }, async (page) => {
  await enter(page, 'import');
  const send = async (name, buffer) => {
    await page.locator('form input[name=file]').setInputFiles({ name, mimeType: 'application/octet-stream', buffer });
    await page.fill('input[name=import-reason]', '一批新车');
    await page.locator('form button.primary').click();
  };
  await send('加密.xlsx', Buffer.from('d0cf11e0a1b11ae1', 'hex'));
  await page.waitForSelector('[role=alert]:has-text("工作簿有密码")');
  await page.click('a[href="#/import"]:has-text("全部导入")');
  await send('无列名.csv', Buffer.from('张三;13700000001;湘H·X0001\n'));
  await page.waitForSelector('[role=alert]:has-text("第一行是数据")');
  await page.click('a[href="#/import"]:has-text("全部导入")');

  await send('新车.xlsx', workbook([HEAD, ...Array.from({ length: GOOD }, (_, n) => row(n)), ...bad]));
  await page.waitForSelector('[data-import=checked][data-step="1"]');
  must((await page.inputValue('select[name=column-4]')) === '', 'nobody knows what 编号 is');
  await page.selectOption('select[name=column-4]', 'ident');
  await next(page);
  await page.waitForSelector('[data-bad="3"]');
  for (const [name, value, said] of [
    ['14 iccid', '8.986E+19', '请把该列设为文本'],
    ['15 phone', '137', '11 位大陆手机号'],
    ['15 kind', '三轮车', '电动自行车'],
    ['16 plate', '湘H·X0000', '与第 2 行重复'],
  ]) {
    const of = async (column) => page.locator(`[data-row="${name}"] [data-column=${column}]`).textContent();
    must((await of('value')).includes(value), `${name}: ${await of('value')}`);
    must((await of('allowed')).includes(said), `${name}: ${await of('allowed')}`);
  }
  await accessible(page, 'the report of a workbook');
  await picture(page, 'import-workbook-report-zh');
  const [report] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: '下载报告' }).click()]);
  const told = await readFile(await report.path(), 'utf8');
  must(['14', '15', '16', '8.986E+19', '三轮车'].every((word) => told.includes(word)), `the report as a file: ${told}`);
  await next(page);
  await page.locator('input[name=rows]').nth(1).check();
  await page.getByRole('button', { name: '开始导入' }).click();
  await page.waitForSelector('[data-import=done][data-step="4"]');
  for (const kind of ['people', 'vehicles', 'trackers']) {
    const made = await page.locator(`[data-made-${kind}]`).textContent();
    must(made === String(GOOD), `${made} ${kind}`);
  }
  must((await page.locator('[data-row="14 iccid"]').count()) === 1, 'what was left out is told at the end, too');
});

await fact('the last two characters of a name find its people, and masked digits find nobody', { at: origin, map: false, locale: 'zh-CN', width: 1440, height: 900 }, async (page) => {
  await enter(page, 'registry?kind=people');
  const search = async (text, rows) => {
    await page.fill('input[name=q]', text);
    await page.locator('form button.primary').click();
    await until(async () => (await page.locator('tbody tr[data-row], tbody [data-row]').count()) === rows, `${rows} people for ${text}`);
  };
  await search('晓春', GOOD / 4);
  await search('13700000003', 1);
  await search('70000000', 0);
  await search('王晓', GOOD);
  // The date that Excel made of a batch is told as a day.
  await enter(page, 'registry?kind=trackers&q=wb11');
  await page.waitForSelector('[data-row=wb11]:has-text("2026-11-01")');
});
