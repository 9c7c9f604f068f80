import { printable } from './printable.js'

/** Where reconnects, retries, dead letters, revocations and stalls are logged. `console` and a pino logger fit. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** Writes warnings and errors to standard error: what is used when no logger is given. */
const defaultLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (message) => void process.stderr.write(`${message}\n`),
  error: (message) => void process.stderr.write(`${message}\n`),
}

/** Writes each message to `target` on one line, without control characters: messages may quote what came from outside. */
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

/** The logger that everything of a transport or runner writes to: the given one or the default, behind the escaping of control characters. */
export function printableLogger(given: Logger | undefined): Logger {
  return given instanceof PrintableLogger ? given : new PrintableLogger(given ?? defaultLogger)
}
