import { randomFillSync } from 'node:crypto'

/** 128 bits: nobody finds out a request's id by trying. */
const ID_BYTES = 16
/** A call for random bytes takes longer than all else that an id costs. */
const POOLED_IDS = 256

const pool = Buffer.alloc(ID_BYTES * POOLED_IDS)
let used = pool.length

/** The id of a new request: 22 characters of `A-Z a-z 0-9 - _`. None can be computed from others, so only who has seen a request can answer it. */
export function newRequestId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += ID_BYTES
  return pool.toString('base64url', used - ID_BYTES, used)
}
