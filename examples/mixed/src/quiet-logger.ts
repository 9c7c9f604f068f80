import type { Logger } from '@streamswitch/core'

/** Warnings and errors on standard error, without the failures that the example injects itself. */
export const quietLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (message) => print(message),
  error: (message) => print(message),
}

function print(message: string): void {
  if (!message.includes('injected failure')) process.stderr.write(`${message}\n`)
}
