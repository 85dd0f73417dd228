// What belongs to an owner: family, hand-over, share links, who looked, the data, the end.
import { accessible, call, fact, isNarrow, must, picture, sessions, until, url, visit } from './harness.mjs';

const PHONE = { width: 390, height: 844 };
const CODE = /^([0-9A-Z]{4}-){3}[0-9A-Z]{4}$/;

/** Opens what belongs to the second vehicle. */
async function open(page, what) {
  const card = page.locator('article.card').nth(1);
  await card.getByRole('button', { name: 'Share and hand over' }).click();
  await card.getByRole('button', { name: what, exact: true }).click();
  return card;
}

await fact('an owner invites family by a code on a phone, and ends it', { as: 'owner', map: false, ...PHONE }, async (page) => {
  const card = await open(page, 'Family');
  await card.getByLabel('Name').fill('Sister');
  await card.getByLabel('May').selectOption('arm');
  await card.getByRole('button', { name: 'Make an invitation' }).click();
  must(CODE.test((await card.locator('code').textContent()).trim()), 'a code in groups');
  await card.locator('li', { hasText: 'Sister' }).waitFor();
  await accessible(page, 'family');
  must(await isNarrow(page), 'nothing is wider than the phone');
  await picture(page, 'owner-family-phone-en');
  await card.getByRole('button', { name: 'End', exact: true }).click();
  await card.locator('button.danger', { hasText: 'End' }).click();
  await card.locator('li', { hasText: 'Sister' }).waitFor({ state: 'detached' });
});

await fact('an owner makes a code for a buyer and takes it back; a wrong code is refused in words', { as: 'owner', map: false, ...PHONE, expected: /status of 404/ }, async (page) => {
  const card = await open(page, 'Hand over');
  await card.getByRole('button', { name: 'Make a code' }).click();
  await card.locator('button.danger', { hasText: 'Make a code' }).click();
  must(CODE.test((await card.locator('code').textContent()).trim()), 'a code in groups');
  await accessible(page, 'hand-over');
  await picture(page, 'owner-hand-over-phone-en');
  await card.getByRole('button', { name: 'Cancel the hand-over' }).click();
  await card.locator('button.danger', { hasText: 'Cancel the hand-over' }).click();
  await card.getByRole('button', { name: 'Make a code' }).waitFor();
  await visit(page, 'mine');
  await page.getByLabel('Code', { exact: true }).fill('0000 0000 0000 0000');
  await page.getByLabel('A hand-over: I buy the vehicle').check();
  await page.getByRole('button', { name: 'Accept' }).click();
  await page.locator('[role=alert]', { hasText: 'This code is not known' }).waitFor();
});

await fact('an owner reads who looked and takes the data along; the end of the account asks for the password', { as: 'owner', map: false, ...PHONE, expected: /status of 403/ }, async (page) => {
  await visit(page, 'mine');
  await page.getByText('Nothing that may be told by now.').waitFor();
  await accessible(page, 'my account');
  must(await isNarrow(page), 'nothing is wider than the phone');
  await picture(page, 'owner-mine-phone-en');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download my data' }).click()]);
  must(download.suggestedFilename() === 'rideguard-my-data.zip', download.suggestedFilename());
  await page.getByLabel('Password').fill('not mine');
  await page.getByRole('button', { name: 'Delete my account' }).click();
  await page.locator('button.danger', { hasText: 'Delete my account' }).click();
  await page.locator('[role=alert]', { hasText: 'The password is wrong' }).waitFor();
  await page.getByRole('button', { name: '中文' }).click();
  await page.getByRole('heading', { name: '谁查看过我的车' }).waitFor();
  await picture(page, 'owner-mine-phone-zh');
});

await fact('whoever has a link sees where the stolen vehicle is and nothing else, until it is revoked', { as: 'owner', map: false, ...PHONE, expected: /status of 404/ }, async (page) => {
  const token = sessions.get('owner');
  let vehicle;
  await until(async () => {
    const { incidents } = await call('GET', '/incidents', token);
    vehicle = incidents.find((i) => i.closed_at === null)?.vehicle_id;
    return vehicle !== undefined;
  }, 'the staged theft has begun');
  await page.reload();
  const card = page.locator(`[data-vehicle="${vehicle}"]`);
  await card.getByRole('button', { name: 'Share and hand over' }).click();
  await card.getByRole('button', { name: 'Share the place', exact: true }).click();
  await card.getByRole('button', { name: 'Make a link' }).click();
  const link = (await card.locator('code').textContent()).trim();
  must(link.startsWith(`${url}/share#`), link);
  await accessible(page, 'share links');
  await picture(page, 'owner-share-phone-en');
  const stranger = await page.context().browser().newContext({ viewport: PHONE, locale: 'zh-CN' });
  const seen = await stranger.newPage();
  await seen.goto(link);
  await seen.waitForSelector('#place:not([hidden])');
  const text = await seen.locator('body').textContent();
  must(!/湘|D0001/.test(text) && /\d+\.\d{6}, \d+\.\d{6}/.test(text), text);
  must((await seen.getAttribute('#geo', 'href')).startsWith('geo:'), 'a link for a map app');
  await accessible(seen, 'the page behind a link');
  await picture(seen, 'share-zh');
  await card.getByRole('button', { name: 'Revoke' }).click();
  await card.locator('button.danger', { hasText: 'Revoke' }).click();
  await seen.getByText('链接无效，或者已经结束。').waitFor();
  must(await seen.locator('#place').isHidden(), 'the place is gone');
  await stranger.close();
});
