// A picture that the server drew. As an image nothing in it is run.

export const svgAddress = (svg: string) => `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
