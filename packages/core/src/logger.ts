import { printable } from './printable.js'

/**
 * Receives log messages about reconnects, retries, dead letters, revocations and stalls. `console` and a pino logger
 * fit.
 */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** Writes warnings and errors to standard error: the default logger. */
const defaultLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (message) => void process.stderr.write(`${message}\n`),
  error: (message) => void process.stderr.write(`${message}\n`),
}

/** Writes each message to `target` on one line, without control characters: messages may quote external input. */
class PrintableLogger implements Logger {
  readonly #target: Logger

  constructor(target: Logger) {
    this.#target = target
  }

  debug(message: string): void {
    this.#target.debug(printable(message))
  }

  info(message: string): void {
    this.#target.info(printable(message))
  }

  warn(message: string): void {
    this.#target.warn(printable(message))
  }

  error(message: string): void {
    this.#target.error(printable(message))
  }
}

/** Returns the logger of a transport or runner: the given one or the default, with control characters escaped. */
export function printableLogger(given: Logger | undefined): Logger {
  return given instanceof PrintableLogger ? given : new PrintableLogger(given ?? defaultLogger)
}
