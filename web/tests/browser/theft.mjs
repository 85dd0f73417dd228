// The staged theft, as its owner sees it.
import { accessible, call, fact, liveVehicles, mapIsReady, must, picture, sessions, visit } from './harness.mjs';

await fact('the staged theft is in the list of alerts, with its evidence', { as: 'owner' }, async (page) => {
  await visit(page, 'alerts');
  await page.waitForSelector('li.wakes:has-text("D0001")', { timeout: 120_000 });
  await accessible(page, 'alerts');
  await page.locator('li.wakes', { hasText: 'D0001' }).first().getByRole('button', { name: 'Incident' }).click();
  await page.locator('[data-incident] details summary').first().click();
  must((await page.locator('pre').first().textContent()).includes('thresholds'), 'the evidence has thresholds');
  await picture(page, 'owner-alerts-en');
  await visit(page, 'vehicles');
  await page.locator('article.stolen').first().getByRole('button', { name: 'Incident' }).click();
  await page.waitForSelector('[data-incident]');
  await accessible(page, 'an incident');
  await visit(page, 'vehicles');
  await mapIsReady(page);
  await liveVehicles(page, 3);
  await page.getByRole('button', { name: 'Show on the map' }).first().click();
  await picture(page, 'owner-theft-en');
});

await fact('two devices on one theft: the second follows the first, and a stale answer is refused by the server', { as: 'owner', map: false, expected: /status of 409/ }, async (page) => {
  await page.waitForSelector('[data-unseen] [role=alert]:has-text("D0001")');
  must((await page.title()).startsWith('⚠'), 'the title warns of what was there before');
  await page.locator('[data-unseen]').getByRole('button', { name: 'Incident' }).click();
  const card = page.locator('[data-incident]');
  await card.getByRole('button', { name: 'It’s me' }).waitFor();
  // The other device: a phone in the same hands.
  const [id] = [await card.getAttribute('data-incident')];
  const token = sessions.get('owner');
  const before = await call('GET', `/incidents/${id}`, token);
  await call('POST', `/incidents/${id}/answer`, token, { answer: 'stolen', version: before.version });
  await card.locator('[data-stolen=true]').waitFor();
  must((await card.getByRole('button', { name: 'It’s me', exact: true }).count()) === 0, 'no tap undoes it');
  await page.waitForFunction(() => !document.querySelector('[data-unseen]'));
  // A tab that slept through it: it shows the incident as it was.
  let isAsleep = true;
  await page.route(`**/incidents/${id}`, (route) => (isAsleep ? route.fulfill({ json: before }) : route.continue()));
  await page.reload();
  const me = card.getByRole('button', { name: 'It’s me', exact: true });
  await me.waitFor();
  await page.waitForSelector('[data-live=live]', { state: 'attached' });
  page.on('request', (request) => (isAsleep &&= request.method() !== 'POST'));
  await me.click();
  await page.waitForSelector('[data-changed]');
  await card.locator('[data-stolen=true]').waitFor();
  must((await call('GET', `/incidents/${id}`, token)).answer === 'stolen', 'the theft stands');
});

await fact('an incident has a timeline and a track, and its owner answers it', { as: 'owner' }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'alerts');
  await page.locator('li.wakes', { hasText: 'D0001' }).first().getByRole('button', { name: 'Incident' }).click();
  await page.waitForSelector('[data-incident] ol li');
  await page.waitForSelector('text=The owner answered: It is stolen');
  must(['confirmed', 'followed'].includes(await page.getAttribute('[data-state]', 'data-state')), 'the owner confirms it');
  await page.getByRole('button', { name: 'Show its track' }).click();
  await page.waitForFunction(() => Number(document.querySelector('[data-fixes]')?.dataset.fixes) > 0);
  await picture(page, 'owner-incident-en');
  await page.getByRole('button', { name: '中文' }).click();
  await page.waitForSelector('text=车主回答');
  await accessible(page, 'an incident in Chinese');
  await picture(page, 'owner-incident-zh');
});
