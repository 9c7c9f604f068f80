import { readFile } from 'node:fs/promises'
import { messageOf, StreamError } from './errors.js'
import { option } from './options/fields.js'

/** A password or token: as text, from a file (read anew at each connect), or from a function (called at each connect). */
export type Secret = string | { readonly file: string } | (() => string | Promise<string>)

/** An option that holds a {@link Secret}. In a URL or variable it is text. */
export function secretOption(settings: { readonly environment?: string } = {}) {
  return option.custom<Secret>('text, { file } or function', checkSecret, { ...settings, secret: true })
}

function checkSecret(raw: unknown): { readonly value: Secret } | string {
  if (typeof raw === 'string' && raw !== '') return { value: raw }
  if (typeof raw === 'function') return { value: raw as () => string | Promise<string> }
  const file = typeof raw === 'object' && raw !== null ? (raw as { readonly file?: unknown }).file : undefined
  if (typeof file === 'string' && file !== '') return { value: { file } }
  return 'must be a text, { file } or a function that returns a text'
}

/** The secret's present value. Call it at every connect, so that a rotated one is picked up. Rejects with UNAUTHENTICATED when it can't be had. */
export async function readSecret(secret: Secret | undefined, transport: string): Promise<string | undefined> {
  if (secret === undefined || typeof secret === 'string') return secret
  try {
    if (typeof secret === 'function') return await secret()
    return (await readFile(secret.file, 'utf8')).replace(/\r?\n$/, '')
  } catch (cause) {
    const source =
      typeof secret === 'function'
        ? 'the credentials function failed'
        : `the credentials file ${secret.file} can't be read`
    throw new StreamError(`${source}: ${messageOf(cause)}`, {
      code: 'UNAUTHENTICATED',
      transport,
      operation: 'open',
      cause,
    })
  }
}
