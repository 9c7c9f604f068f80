/** Where reconnects, retries, dead letters, revocations and stalls are told. `console` and a pino logger fit. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** Writes warnings and errors to standard error: what is used when no logger is given. */
export const defaultLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (message) => void process.stderr.write(`${message}\n`),
  error: (message) => void process.stderr.write(`${message}\n`),
}
