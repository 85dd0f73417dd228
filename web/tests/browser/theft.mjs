// The staged theft, as its owner sees it.
import { accessible, fact, liveVehicles, mapIsReady, must, picture, visit } from './harness.mjs';

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

await fact('an incident has a timeline and a track, and its owner answers it', { as: 'owner' }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'alerts');
  await page.locator('li.wakes', { hasText: 'D0001' }).first().getByRole('button', { name: 'Incident' }).click();
  await page.waitForSelector('[data-incident] ol li');
  await page.getByRole('button', { name: 'It is stolen' }).click();
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
