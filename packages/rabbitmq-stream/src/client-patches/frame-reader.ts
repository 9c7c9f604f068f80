const SIZE_BYTES = 4

/**
 * Splits received data into frames. Replaces the library's method, which joins everything received so far for every
 * piece of a large frame, and keeps half a frame when the connection is replaced.
 */
export class FrameReader {
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #gathered = 0
  /** Size of the frame at hand with its own four bytes, once they are here. */
  #wanted: number | undefined

  /** @param maxBytes - a larger frame is a defect of the other side, not something to wait for. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Hands each complete frame to `take`, its size included. Throws RangeError for one beyond the limit. */
  push(data: Buffer, take: (frame: Buffer) => void): void {
    let rest = data
    if (this.#gathered > 0) {
      this.#parts.push(data)
      this.#gathered += data.length
      if (this.#wanted !== undefined && this.#gathered < this.#wanted) return
      rest = this.#parts.length === 1 ? data : Buffer.concat(this.#parts, this.#gathered)
      this.#parts = []
      this.#gathered = 0
      this.#wanted = undefined
    }
    let start = 0
    while (rest.length - start >= SIZE_BYTES) {
      const end = start + SIZE_BYTES + rest.readUInt32BE(start)
      if (end - start > this.#maxBytes) throw new RangeError(`a frame of ${end - start} bytes arrived`)
      if (end > rest.length) {
        this.#wanted = end - start
        break
      }
      take(rest.subarray(start, end))
      start = end
    }
    if (start === rest.length) return
    this.#parts.push(start === 0 ? rest : rest.subarray(start))
    this.#gathered = rest.length - start
  }
}
