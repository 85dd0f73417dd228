// Reads QR codes: the browser's own reader where there is one, otherwise one that is loaded when somebody scans.

export interface Reader {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}
interface Made {
  new (options: { formats: string[] }): Reader;
  getSupportedFormats?(): Promise<readonly string[]>;
}
const QR = ['qr_code'];

/** The reader of this browser, if it knows QR codes: some have the name and no code. */
async function own(): Promise<Reader | null> {
  const Detector = (globalThis as { BarcodeDetector?: Made }).BarcodeDetector;
  if (!Detector) return null;
  const known = (await Detector.getSupportedFormats?.().catch(() => [])) ?? QR;
  return known.includes('qr_code') ? new Detector({ formats: QR }) : null;
}

/** ZXing in WebAssembly, from our own server: iPhones and Firefox have no reader of their own. */
async function loaded(): Promise<Reader> {
  const [{ BarcodeDetector, prepareZXingModule }, { default: address }] = await Promise.all([
    import('barcode-detector/ponyfill'),
    import('zxing-wasm/reader/zxing_reader.wasm?url'),
  ]);
  // At once, so that a browser that cannot run it says so before a camera is held at anything.
  await prepareZXingModule({ fireImmediately: true, overrides: { locateFile: (path: string, prefix: string) => (path.endsWith('.wasm') ? address : prefix + path) } });
  return new BarcodeDetector({ formats: ['qr_code'] });
}

export const reader = async (): Promise<Reader> => (await own()) ?? loaded();

/** Brings the reader onto the phone while there is a network, for a basement. */
export async function bringReader() {
  if ((await own()) === null) await loaded();
}
