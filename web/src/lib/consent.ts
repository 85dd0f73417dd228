/** Version of the text that people agree to, at the door and on their own page; another text gets another version. */
export const CONSENT = '2026-11';
