/** A 32-bit hash of a text (FNV-1a over its UTF-16 code units, then mixed): the same in every producer, stable across versions. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  return mix(hash)
}

/** The finaliser of MurmurHash3: every bit of the input changes half of the output's. */
function mix(value: number): number {
  let hash = value ^ (value >>> 16)
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * Chooses a candidate for a key by rendezvous hashing (highest random weight): each key has its own ranking of the candidates, so
 * that one that comes or goes moves only its own keys. `undefined` when there are none.
 */
export function rendezvous<Candidate extends { readonly hash: number }>(
  keyHash: number,
  candidates: readonly Candidate[],
): Candidate | undefined {
  let best: Candidate | undefined
  let bestWeight = -1
  for (const candidate of candidates) {
    const weight = mix(keyHash ^ candidate.hash)
    if (weight <= bestWeight) continue
    best = candidate
    bestWeight = weight
  }
  return best
}
