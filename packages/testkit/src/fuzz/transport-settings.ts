import { isStreamError, Transport } from '@streamswitch/core'
import type { AdapterDefinition } from '@streamswitch/core/driver'
import { type FuzzTarget, Violation } from './target.js'

/** Stands where a password belongs. */
const SECRET = 'S3cr3tPass'
const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * A transport's URL on the first line, and environment variables, one a line: a transport is made of them, or they are refused, and a password is not
 * shown.
 */
export function transportSettings(adapter: AdapterDefinition, variables: readonly string[]): FuzzTarget {
  return {
    name: 'transport-settings',
    async decode(bytes) {
      const text = bytes.toString()
      const [url = '', ...lines] = text.split('\n')
      const environment: NodeJS.ProcessEnv = Object.create(null)
      for (const line of lines) {
        const equals = line.indexOf('=')
        if (equals > 0) environment[line.slice(0, equals)] = line.slice(equals + 1)
      }
      try {
        await new Transport(adapter, url, { environment, logger: QUIET }).close()
      } catch (error) {
        const [before = '', ...rest] = url.split(`:${SECRET}@`)
        // Elsewhere the same text may be shown.
        const isPassword =
          /^[a-z+-]+:\/\/[^/?#@:]*$/.test(before) && rest.length === 1 && !text.replace(SECRET, '').includes(SECRET)
        if (isPassword && String((error as Error).message).includes(SECRET))
          throw new Violation('the error shows the password')
        throw error
      }
    },
    declares: (error) =>
      isStreamError(error) && ['INVALID_ARGUMENT', 'UNSUPPORTED', 'CONFLICT', 'NOT_FOUND'].includes(error.code),
    dictionary: [
      ...variables.map((name) => `\n${name}=`),
      `:${SECRET}@`,
      '://',
      '?',
      '&',
      '%',
      '%2',
      '%zz',
      '%00',
      '%ff',
      '[::1]',
      ':65536',
      ',',
      '#',
      '=true',
      '=-1',
      '=1e999',
      '=9007199254740993',
      '__proto__',
      '{"a":',
      '\u2028',
      '\ud800',
      'topics=a=b,c=d%2C',
    ],
  }
}
