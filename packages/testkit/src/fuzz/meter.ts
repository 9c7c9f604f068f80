/** Counts the bytes of buffers that are allocated: a deterministic measure of copying, unlike time. */
export class BufferMeter {
  /** Since {@link start}. */
  bytes = 0
  readonly #originals = {
    alloc: Buffer.alloc,
    allocUnsafe: Buffer.allocUnsafe,
    concat: Buffer.concat,
    from: Buffer.from,
  }

  /** Replaces the functions of `Buffer` that allocate, in the whole process. */
  start(): void {
    const { alloc, allocUnsafe, concat, from } = this.#originals
    const counted = (buffer: Buffer): Buffer => {
      this.bytes += buffer.length
      return buffer
    }
    // A claimed length counts also where allocating it fails.
    const claimed = (size: number): void => {
      if (size > 2 ** 31) this.bytes += size
    }
    Object.assign(Buffer, {
      alloc: (...args: Parameters<typeof Buffer.alloc>) => {
        claimed(args[0])
        return counted(alloc.apply(Buffer, args))
      },
      allocUnsafe: (size: number) => {
        claimed(size)
        return counted(allocUnsafe.call(Buffer, size))
      },
      concat: (...args: Parameters<typeof Buffer.concat>) => counted(concat.apply(Buffer, args) as Buffer),
      from: (...args: unknown[]) => {
        const buffer = Reflect.apply(from, Buffer, args) as Buffer
        // Only a view of memory that exists.
        return args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer ? buffer : counted(buffer)
      },
    })
  }

  stop(): void {
    Object.assign(Buffer, this.#originals)
  }
}
