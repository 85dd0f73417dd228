import { expect, test } from 'vitest';
import { toSchedule, toWindow } from './schedule';

test('a window of the form comes back as it went', () => {
  const window = { days: [1, 5], from: '22:00', to: '06:30' };
  expect(toWindow(toSchedule(window))).toEqual(window);
  expect(toSchedule(window)).toEqual({
    time_zone: 'Asia/Shanghai',
    windows: [{ days: [1, 5], from_min: 1320, to_min: 390 }],
  });
});

test('midnight at the end is the end of the day, not its beginning', () => {
  const schedule = toSchedule({ days: [7], from: '18:00', to: '00:00' });
  expect(schedule.windows[0]?.to_min).toBe(1440);
  expect(toWindow(schedule).to).toBe('00:00');
});
