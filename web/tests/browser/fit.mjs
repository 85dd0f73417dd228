// What fits: phones upright and on their side, large text, fingers, the map beside what it is for.
import { accessible, answer, enter, fact, isNarrow, languageIsShown, liveVehicles, mapIsReady, must, picture, visit } from './harness.mjs';
import { alert, incident, owns, stream, vehicle } from './people.mjs';

const PHONE = { width: 390, height: 844 };
const LANGUAGES = ['中文', 'English'];
const inSight = (page, selector) =>
  page.evaluate((s) => {
    const box = document.querySelector(s).getBoundingClientRect();
    return box.top >= 0 && box.left >= 0 && box.right <= innerWidth + 1 && box.top < innerHeight - 40;
  }, selector);

await fact('a server that is away is told on a phone, in sight', { as: 'owner', map: false, ...PHONE, expected: /Failed to load/ }, async (page) => {
  await answer(page, '/me', 503, { error: 'unavailable', message: 'no' });
  await page.reload();
  await page.waitForSelector('main.wait [role=alert]');
  must(await inSight(page, 'main.wait [role=alert]'), 'the reason is in sight');
  must(await inSight(page, 'main.wait [role=alert] button'), 'the way on is in sight');
  must(await isNarrow(page), 'nothing lies beside the screen');
  await picture(page, 'away-phone-en');
});

for (const [role, pages] of [['police', ['area', 'search']], ['owner', ['track', 'zones']], ['operator', ['zones']]]) {
  await fact(`the pages of the ${role} open at their top on a phone, with the map in sight`, { as: role, ...PHONE }, async (page) => {
    await mapIsReady(page);
    for (const name of pages) {
      await page.evaluate(() => document.querySelector('.panes').scrollTo(0, 400));
      await visit(page, name);
      await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
      await page.waitForFunction(() => document.querySelector('.panes').scrollTop === 0);
      await page.evaluate((n) => (location.hash = `#/${n}`), name);
      await page.reload();
      await page.waitForSelector('.panel h2');
      await page.waitForTimeout(300);
      must((await page.evaluate(() => document.querySelector('.panes').scrollTop)) === 0, `${name} opens at its top`);
      must((await page.evaluate(() => document.querySelector('section.map').getBoundingClientRect().height)) > 200, 'a map to click');
      await page.evaluate(() => document.querySelector('.panes').scrollTo(0, 10_000));
      must(await inSight(page, 'section.map'), `${name}: the map stays while the form is scrolled`);
      await picture(page, `${role}-${name}-scrolled-phone`);
    }
  });
}

await fact('every finger finds its target on a phone', { as: 'owner', ...PHONE }, async (page) => {
  await mapIsReady(page);
  const small = () =>
    page.evaluate(() => {
      const all = [...document.querySelectorAll('a[href], button, select, textarea, summary, input:not([type=checkbox]), label:has(input[type=checkbox])')];
      return all
        .map((e) => [e, e.getBoundingClientRect()])
        // The names of the map's sources are words in a text: WCAG 2.5.8 leaves them out.
        .filter(([e, b]) => b.width > 0 && !e.closest('.maplibregl-ctrl-attrib-inner') && (b.width < 43.5 || b.height < 43.5))
        .map(([e, b]) => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 20)} ${b.width.toFixed(0)}x${b.height.toFixed(0)}`);
    });
  for (const name of ['vehicles', 'alerts', 'track', 'zones']) {
    await visit(page, name);
    await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
    if (name === 'zones') await page.check('input[name=bytime]');
    for (const language of LANGUAGES) {
      await page.getByRole('button', { name: language, exact: true }).click();
      await languageIsShown(page);
      must(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), `${name}: nothing empty below the page`);
      const found = await small();
      must(found.length === 0, `${name}: ${found.join('; ')}`);
    }
  }
  await picture(page, 'owner-zones-days-phone');
});

for (const [role, pages] of [['owner', ['vehicles', 'alerts', 'track', 'zones']], ['police', ['search', 'area']], ['operator', ['trackers']]]) {
  await fact(`text twice as large fits the phone of the ${role}`, { as: role, map: false, ...PHONE, expected: /status of 404/ }, async (page) => {
    if (role === 'owner') {
      await owns(page, {
        vehicles: [vehicle({ open_incident: '901' }), vehicle({ id: '72', plate: '湘H·T0072', protection: 'no_contact', contact: 'silent' })],
        incidents: [incident()], alerts: [alert()],
      });
      await stream(page);
    }
    // A reader's own size in the browser's settings.
    await page.addInitScript(() => document.addEventListener('DOMContentLoaded', () => {
      document.documentElement.style.fontSize = '32px';
    }));
    await page.reload();
    for (const name of pages) {
      await page.evaluate((n) => (location.hash = `#/${n}`), name);
      await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
      await page.waitForFunction(() => !/Loading…|正在加载…/.test(document.querySelector('.panel').textContent));
      for (const language of LANGUAGES) {
        await page.getByRole('button', { name: language, exact: true }).click();
        await languageIsShown(page);
        // Tables have a region of their own that scrolls; nothing else may.
        const wide = await page.evaluate(() =>
          [...document.querySelectorAll('.panel *, header *, .banner *')]
            .filter((e) => !e.closest('.scroll, nav, pre') && e.getBoundingClientRect().width > 0 && e.getBoundingClientRect().right > innerWidth + 1)
            .map((e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 20)} to ${e.getBoundingClientRect().right.toFixed(0)}`));
        must(wide.length === 0, `${name} before ${language}: ${wide.slice(0, 4).join('; ')}`);
        must(await isNarrow(page), `${name} fits`);
        await picture(page, `large-${role}-${name}-${language === 'English' ? 'en' : 'zh'}`);
      }
    }
    if (role === 'operator') {
      await enter(page, 'operator');
      await page.waitForSelector('[data-tracker]');
    }
  });
}

await fact('the size that a reader chose in the browser is the size of the page', { map: false }, async (page) => {
  const sizes = await page.evaluate(() => [...document.styleSheets].flatMap((s) => [...s.cssRules]).filter((r) => r.selectorText === ':root').map((r) => r.style.fontSize));
  must(sizes.every((size) => !size.endsWith('px')), `a fixed size: ${sizes}`);
});

await fact('a phone on its side shows map and page beside each other', { as: 'owner', width: 844, height: 390 }, async (page) => {
  await mapIsReady(page);
  await page.waitForSelector('article.card');
  const [map, panel] = await page.evaluate(() => ['section.map', '.panel'].map((s) => document.querySelector(s).getBoundingClientRect().toJSON()));
  must(map.left >= panel.right - 1 && map.height > 230 && panel.height > 230, JSON.stringify([map, panel]));
  must((await page.locator('ul[aria-label=Legend]').isVisible()) === false, 'no legend over the marks');
  await accessible(page, 'a phone on its side');
  await picture(page, 'owner-landscape-en');
});

await fact('the first view is one town, however far apart the vehicles are', { as: 'owner', ...PHONE }, async (page) => {
  await mapIsReady(page);
  await liveVehicles(page, 3);
  await page.waitForFunction(() => Number(document.querySelector('section.map [data-span-km]')?.dataset.spanKm ?? 99) <= 20);
  await picture(page, 'owner-first-view-phone');
});
