/** Keys of the stream protocol's frames that are handled here rather than by the library's decoder. */
export const Key = {
  publish: 0x0002,
  confirm: 0x0003,
  publishError: 0x0004,
  deliver: 0x0008,
  metadataUpdate: 0x0010,
  close: 0x0016,
  heartbeat: 0x0017,
  consumerUpdate: 0x001a,
  firstResponse: 0x8000,
  credit: 0x8009,
  metadataResponse: 0x800f,
  closeResponse: 0x8016,
  nameOf: (key: number): string => RESPONSE_NAMES.get(key) ?? `request ${key & 0x7fff}`,
} as const

const RESPONSE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x8001, 'declaring a publisher'],
  [0x8005, "asking for a publisher's sequence"],
  [0x8007, 'subscribing'],
  [0x800b, 'asking for a stored offset'],
  [0x800c, 'unsubscribing'],
  [0x800d, 'creating the stream'],
  [0x800e, 'deleting the stream'],
  [0x8012, 'choosing a login mechanism'],
  [0x8013, 'logging in'],
  [0x8015, 'opening the virtual host'],
  [0x8018, 'asking for the partition of a key'],
  [0x8019, "asking for the super stream's partitions"],
  [0x801c, 'asking for statistics'],
  [0x801d, 'creating the super stream'],
  [0x801e, 'deleting the super stream'],
])

/** What the broker asks of a user's permissions on a stream before it does so, as its management calls them. */
const RIGHTS: ReadonlyMap<number, string> = new Map([
  [0x8001, 'write'],
  [0x8005, 'write'],
  [0x8007, 'read'],
  [0x800b, 'read'],
  [0x800d, 'configure'],
  [0x800e, 'configure'],
  [0x801c, 'read'],
  [0x801d, 'configure, write and read'],
  [0x801e, 'configure'],
])

/** The right that the user lacks where a request is refused; `undefined` where it isn't known. */
export function rightFor(key: number): string | undefined {
  return RIGHTS.get(key)
}

/** The stream or super stream that a request of the library is about. */
export function streamOf(request: object): string | undefined {
  const { stream, streamName, params } = request as Readonly<Record<string, unknown>>
  const { stream: inner, superStream } = (params ?? {}) as Readonly<Record<string, unknown>>
  return [stream, streamName, inner, superStream].find((name) => typeof name === 'string')
}

/** A change of who is the active one of a group's consumers. */
export interface ConsumerUpdate {
  readonly correlationId: number
  readonly subscriptionId: number
  /** Defect: the library hides this from its listener, which is called in both cases. */
  readonly active: boolean
}

export interface PublishError {
  readonly publishingId: bigint
  readonly code: number
}

/** Frames that the broker sends unrequested, by connection. */
export interface ServerFrames<Connection> {
  /** @param chunk - from the chunk's header on. The connection doesn't use the buffer again. */
  chunk(connection: Connection, subscriptionId: number, chunk: Buffer): void
  confirmed(connection: Connection, publisherId: number, publishingIds: readonly bigint[]): void
  refused(connection: Connection, publisherId: number, errors: readonly PublishError[]): void
  consumerUpdate(connection: Connection, update: ConsumerUpdate): void
  /** Publishers and subscriptions of this stream on this connection are gone: it was deleted, or its leader moved. */
  streamChanged(connection: Connection, change: { readonly code: number; readonly stream: string }): void
  creditRefused(connection: Connection, subscriptionId: number, code: number): void
}

/** Readers throw a RangeError for a frame that is shorter than it says. */
export function readConfirm(frame: Buffer): bigint[] {
  const count = countOf(frame, 8)
  const ids = new Array<bigint>(count)
  for (let index = 0; index < count; index += 1) ids[index] = frame.readBigUInt64BE(13 + index * 8)
  return ids
}

/** Defect: the library decodes this frame as the answer to a request, and reports one undefined id. */
export function readPublishErrors(frame: Buffer): PublishError[] {
  const count = countOf(frame, 10)
  return Array.from({ length: count }, (_, index) => {
    const at = 13 + index * 10
    return { publishingId: frame.readBigUInt64BE(at), code: frame.readUInt16BE(at + 8) }
  })
}

export function readConsumerUpdate(frame: Buffer): ConsumerUpdate {
  return {
    correlationId: frame.readUInt32BE(8),
    subscriptionId: frame.readUInt8(12),
    active: frame.readUInt8(13) === 1,
  }
}

export function readMetadataUpdate(frame: Buffer): { code: number; stream: string } {
  return { code: frame.readUInt16BE(8), stream: readText(frame, 10) }
}

export function readClose(frame: Buffer): { correlationId: number; code: number; reason: string } {
  return { correlationId: frame.readUInt32BE(8), code: frame.readUInt16BE(12), reason: readText(frame, 14) }
}

/** Returns how many elements follow. No memory is allocated for an invented number. */
function countOf(frame: Buffer, elementBytes: number): number {
  const count = frame.readUInt32BE(9)
  if (count * elementBytes > frame.length - 13) throw new RangeError(`${count} elements do not fit into the frame`)
  return count
}

function readText(frame: Buffer, at: number): string {
  const length = Math.max(0, frame.readInt16BE(at))
  if (at + 2 + length > frame.length) throw new RangeError('a string exceeds the end of its frame')
  return frame.toString('utf8', at + 2, at + 2 + length)
}
