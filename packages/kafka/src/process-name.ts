import { randomBytes } from 'node:crypto'

/** Name of this process in commit metadata: what it was running itself is not suspect to it. */
export const PROCESS = randomBytes(6).toString('hex')
