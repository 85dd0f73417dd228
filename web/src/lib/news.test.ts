import { expect, test } from 'vitest';
import { News } from './news';
import type { Alert } from './types';

const alert = (id: number, wakes_owner = true): Alert => ({
  id: String(id), vehicle_id: '1', plate: '湘H·D0001', kind: 'moved', raised_at: new Date(id * 1000).toISOString(), late: false,
  wakes_owner, held_back: false, incident_id: null, lat: null, lon: null,
});
const ids = (news: News) => news.unseen.map((a) => a.id);

test('what was there before is no news; what came while the line was away is told once, newest first', () => {
  const news = new News();
  news.caughtUp([alert(2), alert(1)]);
  expect(ids(news)).toEqual([]);
  news.heard(alert(3));
  news.caughtUp([alert(5), alert(4), alert(3), alert(2)]);
  expect(ids(news)).toEqual(['5', '4', '3']);
  news.heard(alert(5));
  expect(ids(news)).toEqual(['5', '4', '3']);
});

test('a dismissed alert does not come back, and a mere notice is never told', () => {
  const news = new News();
  news.caughtUp([]);
  news.heard(alert(1));
  news.dismiss();
  news.heard(alert(2, false));
  news.caughtUp([alert(2, false), alert(1)]);
  expect(ids(news)).toEqual([]);
});

test('an alert that the stream brings before the first look at the list stays told', () => {
  const news = new News();
  news.heard(alert(7));
  news.caughtUp([alert(7), alert(6)]);
  expect(ids(news)).toEqual(['7']);
});
