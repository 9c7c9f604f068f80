import { randomBytes } from 'node:crypto'

/** Names this process in commit metadata: what it had at work itself is not suspect to it. */
export const PROCESS = randomBytes(6).toString('hex')
