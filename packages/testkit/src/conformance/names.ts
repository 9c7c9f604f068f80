import { randomBytes } from 'node:crypto'

/** A name that no other test uses, for a topic, group or id. Portable: 1 to 100 characters of `a-z 0-9 . _ -`. */
export function uniqueName(purpose: string): string {
  return `${purpose}-${randomBytes(6).toString('hex')}`
}
