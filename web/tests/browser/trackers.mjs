// Trackers come on board in the page of operators: a credential is shown once, replaced and revoked with a reason.
import { accessible, fact, must, until } from './harness.mjs';

const IDENT = 'page000001';
const dialog = (page) => page.locator('dialog[open]');
const password = (page) => dialog(page).locator('[data-password]').textContent();

await fact('an operator registers a tracker, replaces its credential and revokes it, each password shown once', { as: 'operator', map: false, expected: /status of 400/ }, async (page) => {
  await page.waitForSelector('[data-tracker]');
  await page.getByRole('button', { name: 'Register trackers' }).click();
  await dialog(page).locator('textarea[name=idents]').fill('not/a/topic');
  await dialog(page).getByRole('button', { name: 'Register', exact: true }).click();
  await until(async () => (await dialog(page).getByText('not/a/topic').count()) > 0, 'what cannot be taken is named');
  await dialog(page).locator('textarea[name=idents]').fill(IDENT);
  await dialog(page).locator('select[name=protocol]').selectOption('gt06');
  await dialog(page).locator('select[name=transport]').selectOption('socket');
  await accessible(page, 'a tracker without MQTT');
  await dialog(page).locator('select[name=protocol]').selectOption('json');
  must((await dialog(page).locator('select[name=transport]').count()) === 0, 'JSON comes by MQTT');
  await dialog(page).getByRole('button', { name: 'Register', exact: true }).click();
  const first = await password(page);
  must(/^[0-9a-hjkmnp-tv-z]{26}$/.test(first), 'a password of 26 characters');
  must((await dialog(page).locator('svg path').getAttribute('d')).length > 500, 'a QR code');
  await accessible(page, 'a new credential');
  await page.keyboard.press('Escape');
  await page.fill('input[type=search]', IDENT);
  await page.locator('form button.primary').click();
  await until(async () => (await page.locator('[data-tracker]').count()) === 1, 'it is in the list');
  const open = () => page.getByRole('button', { name: `Credential of tracker ${IDENT}` }).click();
  await open();
  await dialog(page).locator('input[name=credential-reason]').fill('a test of the page');
  must((await dialog(page).locator('[data-password]').count()) === 0, 'the first is never shown again');
  await dialog(page).getByRole('button', { name: 'Replace the credential' }).click();
  const second = await password(page);
  must(second.length === 26 && second !== first, 'another password');
  await page.keyboard.press('Escape');
  await open();
  await dialog(page).locator('input[name=credential-reason]').fill('it was lost');
  await dialog(page).getByRole('button', { name: 'Revoke the credential' }).click();
  await until(async () => (await dialog(page).count()) === 0, 'it is done');
  await open();
  await dialog(page).getByText('Its credential was revoked').waitFor();
});
