// An owner: vehicles, guarding, tracks, zones.
import { call, fact, liveVehicles, mapIsReady, must, picture, sessions, until, visit } from './harness.mjs';

await fact('an owner sees the vehicles live, and arms and disarms', { as: 'owner' }, async (page) => {
  await mapIsReady(page);
  await liveVehicles(page, 1);
  await page.waitForFunction(() => document.querySelectorAll('article.card').length === 3);
  const card = page.locator('article.card').nth(2);
  for (const armed of [true, false]) {
    const now = (await card.locator('[data-armed]').getAttribute('data-armed')) === 'true';
    if (now === armed) continue;
    await card.getByRole('button', { name: /^(Arm|Disarm)$/ }).click();
    await page.waitForFunction(
      (a) => document.querySelectorAll('article.card')[2].querySelector('[data-armed]').dataset.armed === String(a),
      armed,
    );
  }
  // A map in one colour packs into less.
  await until(async () => (await page.locator('.map canvas').screenshot()).length > 20_000, 'the map is drawn');
  await picture(page, 'owner-vehicles-en');
});

await fact('a vehicle is guarded by a schedule and after parking, and phones that an app bound are forgotten', { as: 'owner', map: false }, async (page) => {
  const card = page.locator('article.card').nth(1);
  await card.locator('summary').click();
  await card.locator('input[name=auto]').check();
  await card.locator('input[name=schedule]').check();
  await card.getByRole('button', { name: 'Save' }).click();
  await page.waitForSelector('text=in force');
  // As an app would; the page itself shows no phone tokens.
  await call('POST', `/vehicles/${await card.getAttribute('data-vehicle')}/phone-tokens`, sessions.get('owner'));
  await picture(page, 'owner-guarding-en');
  await page.reload();
  await page.locator('article.card').nth(1).locator('summary').click();
  await page.waitForFunction(() => document.querySelector('input[name=auto]')?.checked);
  await page.getByRole('button', { name: 'Forget all phones (1)' }).click();
  await page.locator('button.danger', { hasText: 'Forget all phones' }).click();
  await page.waitForSelector('text=Forget all phones', { state: 'detached' });
  // A vehicle that arms itself here would raise alerts of its own in other facts.
  await page.uncheck('input[name=auto]');
  await page.uncheck('input[name=schedule]');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.waitForSelector('text=in force');
  await page.getByRole('button', { name: '中文' }).click();
  await picture(page, 'owner-guarding-zh');
});

await fact('the track of the day is drawn, listed and played', { as: 'owner' }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'track');
  await page.waitForSelector('[data-fixes]');
  must(Number(await page.getAttribute('[data-fixes]', 'data-fixes')) > 3, 'fixes');
  await page.waitForFunction(() => Number(document.querySelector('[data-track]')?.dataset.track) > 3);
  await page.locator('.panel details summary').click();
  must((await page.locator('tbody tr').count()) > 3, 'rows');
  await page.getByRole('button', { name: 'Play' }).click();
  await page.waitForFunction(() => Number(document.querySelector('input[type=range]').value) > 0);
  await picture(page, 'owner-track-en');
});

await fact('a zone is made by clicks on the map, and deleted', { as: 'owner' }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'zones');
  await page.fill('input[name=zone]', 'Home <b>x</b>');
  const box = await page.locator('.map canvas').boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction(() => /^\d+\.\d+, \d+\.\d+$/.test(document.querySelector('input[name=centre]').value));
  await page.getByRole('button', { name: 'Add' }).click();
  await page.waitForSelector('li.card');
  must((await page.locator('li.card strong').first().textContent()) === 'Home <b>x</b>', 'a name is text');
  await picture(page, 'owner-zones-en');
  await page.getByRole('button', { name: 'Delete' }).first().click();
  await page.locator('button.danger', { hasText: 'Delete' }).click();
  await page.waitForSelector('li.card', { state: 'detached' });
});
