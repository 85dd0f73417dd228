// Bounds of a file, as the server has them.

/** Largest file, bytes. */
export const FILE_BYTES_MAX = 32 * 1024 * 1024;
