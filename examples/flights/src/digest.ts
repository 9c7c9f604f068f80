import { createHash } from 'node:crypto'

/** A digest that covers all earlier ones: the same records in another order give another one. */
export function extendDigest(previous: string, fields: readonly (string | number)[]): string {
  return createHash('sha256')
    .update(`${previous}\n${fields.join(' ')}`)
    .digest('hex')
    .slice(0, 32)
}
