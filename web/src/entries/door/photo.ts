// A photo from the phone's camera, drawn anew: small, and without what the camera wrote into it (EXIF has its place).

/** As the server has it, bytes. */
const BYTES_MAX = 300 * 1024;
/** A plate is read at this size, pixels of the longer side; then smaller, until it fits. */
const SIDES = [1600, 1280, 1024, 800, 640];
const QUALITIES = [0.8, 0.65, 0.5];

/** As a JPEG that fits; null where the file is no picture that this browser can read. */
export async function shrunk(file: Blob): Promise<Blob | null> {
  let picture: ImageBitmap;
  try {
    picture = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    return null;
  }
  try {
    const canvas = document.createElement('canvas');
    for (const side of SIDES) {
      const scale = Math.min(1, side / Math.max(picture.width, picture.height));
      [canvas.width, canvas.height] = [Math.max(1, Math.round(picture.width * scale)), Math.max(1, Math.round(picture.height * scale))];
      const paper = canvas.getContext('2d');
      if (!paper) return null;
      // A JPEG has no transparency.
      paper.fillStyle = '#fff';
      paper.fillRect(0, 0, canvas.width, canvas.height);
      paper.drawImage(picture, 0, 0, canvas.width, canvas.height);
      for (const quality of QUALITIES) {
        const jpeg = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', quality));
        if (jpeg && jpeg.type === 'image/jpeg' && jpeg.size <= BYTES_MAX) return jpeg;
      }
    }
    return null;
  } finally {
    picture.close();
  }
}
