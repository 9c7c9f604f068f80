import { randomFillSync } from 'node:crypto'

/** 128 bits: a request's id can't be guessed. */
const ID_BYTES = 16
/** Ids per call for random bytes, which is the most expensive part of an id. */
const POOLED_IDS = 256

const pool = Buffer.alloc(ID_BYTES * POOLED_IDS)
let used = pool.length

/**
 * Returns the id of a new request: 22 characters of `A-Z a-z 0-9 - _`. Ids can't be derived from each other, so only a
 * process that has seen a request can answer it.
 */
export function newRequestId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += ID_BYTES
  return pool.toString('base64url', used - ID_BYTES, used)
}
