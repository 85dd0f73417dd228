// For everybody: screen readers, keyboards, enlarged pages. Both languages. The map's own buttons are looked at on the phone.
import { accessible, fact, isNarrow, mapIsReady, must, visit } from './harness.mjs';

const PAGES = { owner: ['vehicles', 'alerts', 'track', 'zones'], police: ['search', 'area'], operator: ['trackers', 'zones'] };

for (const [role, pages] of Object.entries(PAGES)) {
  await fact(`axe finds nothing against WCAG A and AA on the pages of the ${role}`, { as: role, map: false }, async (page) => {
    for (const name of pages) {
      await visit(page, name);
      await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
      await page.waitForFunction(() => !/Loading…|正在加载…/.test(document.querySelector('.panel').textContent));
      for (const language of ['中文', 'English']) {
        await page.getByRole('button', { name: language, exact: true }).click();
        await accessible(page, `${name}, before ${language}`);
      }
    }
  });
}

await fact('the page works by keyboard: focus is seen, Escape closes, focus comes back', { as: 'owner', map: false }, async (page) => {
  await page.waitForSelector('article.card');
  must(await page.evaluate(() => document.activeElement.classList.contains('panel')), 'the panel has the focus at first');
  await page.keyboard.press('Tab');
  must(await page.evaluate(() => document.activeElement.closest('article.card') !== null), 'the first card is next');
  must(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none'), 'focus is seen');
  await visit(page, 'zones');
  await page.fill('input[name=zone]', 'By keyboard');
  await page.fill('input[name=centre]', '28.55, 112.35');
  await page.keyboard.press('Enter');
  const zone = page.locator('li.card', { hasText: 'By keyboard' });
  await zone.getByRole('button', { name: 'Delete' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.textContent === 'Keep');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.activeElement.textContent === 'Delete');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.textContent === 'Keep');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await zone.waitFor({ state: 'detached' });
});

await fact('a name that looks like markup is shown as text and runs nothing', { as: 'owner' }, async (page) => {
  const name = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>';
  await mapIsReady(page);
  await visit(page, 'zones');
  await page.fill('input[name=zone]', name);
  await page.fill('input[name=centre]', '28.55, 112.35');
  await page.keyboard.press('Enter');
  const zone = page.locator('li.card', { hasText: 'onerror' });
  await zone.waitFor();
  must((await zone.textContent()).includes(name), 'every character is there');
  must((await page.locator('img[src="x"]').count()) === 0, 'no element is made of it');
  must((await page.evaluate(() => window.ran)) === undefined, 'nothing ran');
  await zone.getByRole('button', { name: 'Delete' }).click();
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  await zone.waitFor({ state: 'detached' });
});

await fact('at 200 % nothing is lost', { as: 'owner', map: false, width: 640, height: 400 }, async (page) => {
  for (const name of ['vehicles', 'track', 'zones']) {
    await visit(page, name);
    await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
    must(await isNarrow(page), `${name} fits`);
    const button = page.locator('.panel button').last();
    await button.scrollIntoViewIfNeeded();
    must((await button.boundingBox()).width > 0, `${name}: its last button can be reached`);
  }
});
