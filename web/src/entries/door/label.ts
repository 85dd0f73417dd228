// What a label, a plate and a form say. Pure.

export interface Label {
  ident: string;
  claim: string;
}

/** The text of a label's QR code: `RG1:ident:claim`. */
export function readLabel(text: string): Label | null {
  const found = /^RG1:([A-Za-z0-9_-]{1,32}):([A-Za-z0-9-]{1,64})$/.exec(text.trim());
  return found ? { ident: found[1]!, claim: found[2]! } : null;
}

/** Longest text of a code that a plate is looked for in, characters. */
const TEXT_CHARS_MAX = 512;
/** A province, a letter, four to eight more: motorcycles and e-bikes of most cities. */
const OF_PROVINCE = /[\u4e00-\u9fff][A-Z][·•.\s-]?[A-Z0-9]{4,8}/;
/** Words of a town and a number: older e-bikes. */
const OF_TOWN = /^[\u4e00-\u9fff]{0,4}[·•.\s-]?[A-Z0-9][A-Z0-9·•.\s-]{2,10}[A-Z0-9]$/;

/** The plate in a plate's QR code: the code is the plate, or an address or a text that has it. */
export function readPlate(text: string): string | null {
  let plain = text.trim().slice(0, TEXT_CHARS_MAX);
  try {
    plain = decodeURIComponent(plain);
  } catch {
    // It was none of an address.
  }
  plain = plain.toUpperCase();
  const found = OF_PROVINCE.exec(plain)?.[0] ?? OF_TOWN.exec(plain)?.[0] ?? null;
  return found && /\d/.test(found) ? found : null;
}

/** A phone number as people say it, in E.164: eleven digits that begin with 1 are Chinese (MIIT, numbering plan). */
export function e164(text: string): string {
  const plain = text.replace(/[\s()-]/g, '').replace(/^00/, '+');
  return /^1\d{10}$/.test(plain) ? `+86${plain}` : plain;
}
export const isE164 = (text: string) => /^\+[1-9]\d{6,14}$/.test(text);
