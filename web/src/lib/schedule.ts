import type { WeekSchedule } from './types';

/** The one window that the page's form knows: some days, from, to. */
export interface Window {
  days: number[];
  from: string;
  to: string;
}

export const WEEK = [1, 2, 3, 4, 5, 6, 7] as const;

const minutes = (clock: string) => {
  const [hours = 0, rest = 0] = clock.split(':').map(Number);
  return hours * 60 + rest;
};
const clock = (minute: number) =>
  `${String(Math.floor(minute / 60) % 24).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;

/** A window as the server keeps it, on Yiyang's clock. An end at midnight is the day's last minute. */
export function toSchedule(window: Window): WeekSchedule {
  const window_ = { days: [...window.days].sort(), from_min: minutes(window.from), to_min: minutes(window.to) || 1440 };
  return { time_zone: 'Asia/Shanghai', windows: [window_] };
}

/** The first window of a schedule, as the form shows it. */
export function toWindow(schedule: WeekSchedule): Window {
  const first = schedule.windows[0];
  return { days: first?.days ?? [], from: clock(first?.from_min ?? 0), to: clock(first?.to_min ?? 0) };
}
