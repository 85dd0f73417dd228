// The police and the operator.
import { accessible, fact, liveVehicles, mapIsReady, must, picture, visit } from './harness.mjs';

await fact('a corridor with a schedule is drawn, in the datum of Chinese maps', { as: 'operator', locale: 'zh-CN' }, async (page) => {
  await mapIsReady(page);
  await visit(page, 'zones');
  await page.fill('input[name=zone]', '禁摩路段');
  await page.selectOption('select[name=rule]', 'forbidden');
  await page.selectOption('select[name=kind]', 'motorcycle');
  await page.selectOption('select[name=shape]', 'corridor');
  await page.selectOption('select[name=crs]', 'gcj02');
  await page.check('input[name=bytime]');
  const box = await page.locator('.map canvas').boundingBox();
  for (const [x, y] of [[0.3, 0.4], [0.6, 0.5], [0.7, 0.7]]) await page.mouse.click(box.x + box.width * x, box.y + box.height * y);
  await page.waitForFunction(() => document.querySelector('textarea[name=corners]').value.split('\n').length === 3);
  await picture(page, 'operator-zone-form-zh');
  await page.getByRole('button', { name: '添加' }).click();
  await page.waitForSelector('li.card');
  const text = await page.textContent('li.card');
  must(text.includes('摩托车') && text.includes('GCJ-02') && text.includes('22:00–06:00'), text);
  await page.getByRole('button', { name: '在地图上查看' }).click();
  await picture(page, 'operator-zones-zh');
  await page.getByRole('button', { name: '删除' }).click();
  await page.locator('button.danger', { hasText: '删除' }).click();
  await page.waitForSelector('li.card', { state: 'detached' });
});

await fact('the operator sees every tracker, and no plate on the map', { as: 'operator', locale: 'zh-CN' }, async (page) => {
  await mapIsReady(page);
  await liveVehicles(page, 10);
  await page.waitForSelector('[data-tracker]');
  must((await page.locator('[data-tracker]').count()) > 10, 'trackers');
  await page.fill('input[type=search]', 'yy000001');
  await page.locator('form button.primary').click();
  await page.waitForFunction(() => document.querySelectorAll('[data-tracker]').length === 1);
  await page.fill('input[type=search]', '');
  await page.locator('form button.primary').click();
  await picture(page, 'operator-zh');
});

await fact('the police search by plate and by area, for a case', { as: 'police' }, async (page) => {
  await mapIsReady(page);
  await page.fill('input[name=text]', 'D000');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForSelector('tbody tr button');
  await page.locator('tbody tr button').first().click();
  await page.waitForSelector('[data-fixes]');
  await picture(page, 'police-search-en');
  await visit(page, 'area');
  await page.fill('textarea[name=corners]', '28.40, 112.20\n28.40, 112.60\n28.70, 112.60\nhere');
  await page.waitForSelector('text=Line 4');
  await page.fill('textarea[name=corners]', '27, 112\n27, 115\n30, 115');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForSelector('[role=alert]:has-text("the grant allows")');
  await page.fill('textarea[name=corners]', '28.40, 112.20\n28.40, 112.60\n28.70, 112.60\n28.70, 112.20');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForSelector('[data-hits]');
  must(Number(await page.getAttribute('[data-hits]', 'data-hits')) > 3, 'hits');
  await page.check('input[name=live]');
  await liveVehicles(page, 10);
  await picture(page, 'police-area-en');
});

await fact('police see live positions only of a view that the grant allows, and are told to zoom in', { as: 'police', locale: 'zh-CN' }, async (page) => {
  await mapIsReady(page);
  await page.check('input[name=live]');
  await liveVehicles(page, 10);
  for (let n = 0; n < 3; n++) await page.locator('.maplibregl-ctrl-zoom-out').click({ delay: 20 });
  await page.waitForSelector('[data-view=view_too_large] >> text=请放大地图');
  must((await page.locator('[data-vehicles="0"]').count()) === 1, 'nothing is shown of a view that is too large');
  await accessible(page, 'a view that is too large');
  await picture(page, 'police-zoom-in-zh');
  // Each click begins a movement; a view is told when it has ended, once a second.
  for (let n = 0; n < 6 && (await page.locator('[data-view]').count()) > 0; n++) {
    await page.locator('.maplibregl-ctrl-zoom-in').click();
    await page.waitForTimeout(2000);
  }
  await page.waitForSelector('[data-live=live]:not([data-view])', { state: 'attached' });
  await liveVehicles(page, 1);
  await picture(page, 'police-zoomed-in-zh');
});
