// What the server refuses, said in the language of the page with the server's values; and plates however they are typed.
import { fact, must, picture, until, visit } from './harness.mjs';

const REFUSED = /Failed to load resource/;
const english = (text) => /\b(the|it|must|and|of)\b/.test(text);

await fact('a refusal of the server is Chinese on the Chinese page, with its numbers', { as: 'owner', map: false, locale: 'zh-CN', expected: REFUSED }, async (page) => {
  const told = async (text) => {
    const alert = page.locator(`[role=alert]:has-text("${text}")`).first();
    await alert.waitFor();
    const said = await alert.textContent();
    must(!english(said), said);
  };
  await visit(page, 'zones');
  await page.fill('input[name=zone]', '自相交');
  await page.selectOption('select[name=shape]', 'polygon');
  await page.fill('textarea[name=corners]', '28.0, 112.0\n28.1, 112.1\n28.1, 112.0\n28.0, 112.1');
  await page.getByRole('button', { name: '添加' }).click();
  await told('多边形自相交或没有面积');
  await page.fill('textarea[name=corners]', '28.0, 112.0\n28.0, 112.00001\n28.00001, 112.00001');
  await page.getByRole('button', { name: '添加' }).click();
  await told('应为 100 平方米到 250000 平方公里');
  await picture(page, 'owner-refused-zh');
});

await fact('a plate is found however it is typed, and too few letters are refused in words', { as: 'police', map: false, locale: 'zh-CN', expected: REFUSED }, async (page) => {
  await page.waitForSelector('form button.primary:not([disabled])');
  for (const typed of ['湘hd0001', '湘Ｈ Ｄ０００１', '湘H-D0001', 'D0001']) {
    await page.fill('input[name=text]', typed);
    await page.locator('form button.primary').click();
    await until(async () => (await page.locator('tbody tr').count()) === 1, `${typed} finds one`);
    must((await page.textContent('tbody tr')).includes('湘H·D0001'), typed);
    await page.fill('input[name=text]', 'D00');
    await page.locator('form button.primary').click();
    await until(async () => (await page.locator('tbody tr').count()) > 1, 'D00 finds more');
  }
  await page.fill('input[name=text]', '湘H·');
  await page.locator('form button.primary').click();
  await page.waitForSelector('[role=alert]:has-text("查询内容有 2 个字母或数字，应为 3 到 32 个")');
});
