// Off by choice: an owner switches positioning off and on, withdraws the consent and gives it again; the desk sees it.
import { accessible, fact, isNarrow, must, picture, visit } from './harness.mjs';

const PHONE = { width: 390, height: 844 };

await fact('an owner switches positioning off on a phone, reads since when, and switches it on again', { as: 'owner', map: false, ...PHONE }, async (page) => {
  const plate = await page.locator('article.card').nth(2).getAttribute('data-plate');
  const card = page.locator(`article.card[data-plate="${plate}"]`);
  await card.getByRole('button', { name: 'Share and hand over' }).click();
  await card.getByRole('button', { name: 'Positioning', exact: true }).click();
  await card.getByRole('button', { name: 'Switch positioning off' }).click();
  await card.locator('button.danger', { hasText: 'Switch positioning off' }).click();
  await card.getByText('Off by choice since').waitFor();
  must((await card.getByRole('button', { name: 'Arm', exact: true }).count()) === 0, 'nobody can guard it');
  await accessible(page, 'positioning off');
  must(await isNarrow(page), 'nothing is wider than the phone');
  await picture(page, 'owner-positioning-off-phone-en');
  await card.getByRole('button', { name: 'Switch positioning on' }).click();
  await card.getByText('Last position').or(card.locator('dl')).first().waitFor();
});

await fact('an owner withdraws the consent and gives it again', { as: 'owner', map: false, ...PHONE }, async (page) => {
  await visit(page, 'mine');
  await page.getByRole('button', { name: 'Withdraw my consent' }).click();
  await page.locator('button.danger', { hasText: 'Withdraw my consent' }).click();
  await page.getByText('Your consent is withdrawn; positioning of your vehicles is off.').waitFor();
  await accessible(page, 'consent');
  await picture(page, 'owner-consent-phone-en');
  await visit(page, 'vehicles');
  await page.locator('article[data-off]').first().waitFor();
  must((await page.locator('article.card').count()) === (await page.locator('article[data-off]').count()), 'all of them are off');
  await visit(page, 'mine');
  await page.getByRole('button', { name: 'Give my consent again' }).click();
  await page.getByRole('button', { name: 'Withdraw my consent' }).waitFor();
  await page.getByRole('button', { name: '中文' }).click();
  await page.getByRole('heading', { name: '我的同意书' }).waitFor();
  await picture(page, 'owner-consent-phone-zh');
  await visit(page, 'vehicles');
  await page.locator('article.card dl').first().waitFor();
});
