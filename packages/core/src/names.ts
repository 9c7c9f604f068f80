import { StreamError } from './errors.js'

const PORTABLE_NAME = /^[a-z0-9][a-z0-9._-]{0,99}$/

const NATIVE = ' (for an existing name on the broker see topics, groups, nativeName and nativeGroup)'

/** True for a name that every transport can hold: 1 to 100 characters of `a-z 0-9 . _ -`, the first a letter or digit. */
export function isPortableName(name: unknown): name is string {
  return typeof name === 'string' && PORTABLE_NAME.test(name)
}

/** Throws INVALID_ARGUMENT unless the name is portable. `what` begins the message: `topic`, `group`. */
export function requirePortableName(what: string, name: unknown, transport?: string): asserts name is string {
  if (isPortableName(name)) return
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 120)) : typeof name
  throw new StreamError(
    `${what} must be 1 to 100 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, so that every transport can hold it; got ${shown}${what === 'topic' || what === 'group' ? NATIVE : ''}`,
    { code: 'INVALID_ARGUMENT', transport, operation: 'configure' },
  )
}
