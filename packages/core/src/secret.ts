import { readFile } from 'node:fs/promises'
import { messageOf, StreamError } from './errors.js'
import { option } from './options/fields.js'
import { describeType } from './options/problems.js'
import { exhaustion } from './system-errors.js'

/** A password or token: a string, a file (read again at each connect), or a function (called at each connect). */
export type Secret = string | { readonly file: string } | (() => string | Promise<string>)

/** An option that holds a {@link Secret}. In a URL or variable it is a string. */
export function secretOption(settings: { readonly environment?: string } = {}) {
  return option.custom<Secret>('string, { file } or function', checkSecret, { ...settings, secret: true })
}

function checkSecret(raw: unknown): { readonly value: Secret } | string {
  if (typeof raw === 'string')
    return isBlank(raw) ? 'must not be empty or blank: set a value, or leave it unset' : { value: raw }
  if (typeof raw === 'function') return { value: raw as () => string | Promise<string> }
  const file = typeof raw === 'object' && raw !== null ? (raw as { readonly file?: unknown }).file : undefined
  if (typeof file === 'string' && file !== '') return { value: { file } }
  return 'must be a string, { file } or a function that returns a string'
}

/**
 * Returns the secret's current value, never empty. Call it at every connect, so that a rotated one is picked up.
 * Rejects with UNAUTHENTICATED, naming the file or the option, when it can't be read or is empty or blank, and with
 * RESOURCE_EXHAUSTED when no file can be opened.
 *
 * @param name - the option that holds the secret, for errors
 */
export async function readSecret(
  secret: Secret | undefined,
  transport: string,
  name = 'password',
): Promise<string | undefined> {
  if (secret === undefined || typeof secret === 'string') return secret
  const source = typeof secret === 'function' ? `the function of ${name}` : `${name}: the file ${secret.file}`
  const failure = (problem: string, cause?: unknown): StreamError =>
    new StreamError(`${source} ${problem}`, {
      code: exhaustion(cause) ?? 'UNAUTHENTICATED',
      transport,
      operation: 'open',
      cause,
    })
  let value: unknown
  try {
    value = typeof secret === 'function' ? await secret() : await readFile(secret.file, 'utf8')
  } catch (cause) {
    throw failure(`${typeof secret === 'function' ? 'failed' : "can't be read"}: ${messageOf(cause)}`, cause)
  }
  if (typeof value !== 'string')
    throw failure(`must return a string, got ${value === undefined ? 'nothing' : describeType(value)}`)
  const text = typeof secret === 'function' ? value : value.replace(/\r?\n$/, '')
  if (isBlank(text)) throw failure(typeof secret === 'function' ? 'returned an empty string' : 'is empty')
  return text
}

function isBlank(text: string): boolean {
  return text.trim() === ''
}
