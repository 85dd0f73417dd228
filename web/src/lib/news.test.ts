import { expect, test } from 'vitest';
import { News, type Listed } from './news';
import type { Alert } from './types';

const alert = (id: number, wakes_owner = true, incident_id: string | null = null): Alert => ({
  id: String(id), vehicle_id: '1', plate: '湘H·D0001', kind: 'moved', raised_at: new Date(id * 1000).toISOString(), late: false,
  level: wakes_owner ? 'alarm' : 'notice', wakes_owner, suppressed: false, is_drill: false, incident_id, lat: null, lon: null,
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

const incident = (id: string, rest: Partial<Listed> = {}): Listed => ({
  id, vehicle_id: '1', plate: '湘H·D0001', opened_at: new Date(Number(id) * 1000).toISOString(), closed_at: null, close_reason: null, is_drill: false, answers: [],
  state: 'suspected', severity: 'high', score: 0.7, answer: null, answered_at: null, version: 1, fixes_from: '', fixes_to: null, ...rest,
});
const warned = (news: News) => news.warnings.map((w) => [w.incident?.id ?? w.alert?.id, w.kind]);

test('an open incident that nobody answered warns whoever opens the page after the theft', () => {
  const news = new News();
  news.caughtUp([alert(8, true, '7'), alert(7, true, '7'), alert(3, true, '2')]);
  news.stand([incident('7'), incident('5'), incident('2', { closed_at: new Date(4000).toISOString(), close_reason: 'disarmed' })]);
  expect(warned(news)).toEqual([['7', 'moved'], ['5', null]]);
  expect(news.count).toBe(2);
});

test('an answer given elsewhere ends the warning, with the alerts that it answered', () => {
  const news = new News();
  news.caughtUp([]);
  news.heard(alert(7, true, '7'));
  news.stand([incident('7')]);
  news.changed({ id: '7', vehicle_id: '1', state: 'confirmed', answer: 'stolen', version: 2, opened_at: '', closed_at: null });
  news.stand([incident('7', { answer: 'stolen', answered_at: new Date(9000).toISOString(), version: 2 })]);
  expect([warned(news), news.count]).toEqual([[], 0]);
  news.heard(alert(12, true, '7'));
  expect(warned(news)).toEqual([['12', 'moved']]);
});

test('a warning that was dismissed still counts, and comes back with another alert of its incident', () => {
  const news = new News();
  news.caughtUp([alert(7, true, '7')]);
  news.stand([incident('7')]);
  news.dismiss();
  expect([warned(news), news.count]).toEqual([[], 1]);
  news.heard(alert(9, true, '7'));
  expect(warned(news)).toEqual([['7', 'moved']]);
});

test('an installer’s drill warns nobody, neither by its alert nor by its incident', () => {
  const news = new News();
  news.caughtUp([]);
  news.heard({ ...alert(1, true, '1'), is_drill: true });
  news.stand([incident('1', { is_drill: true })]);
  expect([news.count, news.warnings]).toEqual([0, []]);
  news.stand([incident('1', { is_drill: true }), incident('2')]);
  expect(news.warnings.map((w) => w.key)).toEqual(['2']);
});
