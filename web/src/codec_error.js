/** Input that cannot be used; the message says what was wrong and what to do. */
export class CodecError extends Error {}
