// Read by the checker and by editors; plain TypeScript needs no preprocessing.
export default { compilerOptions: { runes: true } };
