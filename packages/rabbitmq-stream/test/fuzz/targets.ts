import { isStreamError } from '@streamswitch/core'
import { type FuzzTarget, forwardedRecord, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import { ResponseDecoder } from 'rabbitmq-stream-js-client/dist/response_decoder.js'
import { Chunk } from '../../src/chunk.js'
import { FrameReader } from '../../src/client-patches/frame-reader.js'
import type { LibraryLogger } from '../../src/client-patches/library.js'
import {
  Key,
  readClose,
  readConfirm,
  readConsumerUpdate,
  readMetadataUpdate,
  readPublishErrors,
} from '../../src/client-patches/server-frames.js'
import streams from '../../src/index.js'
import { toDelivery } from '../../src/message.js'
import { encodedOriginal, STREAM_FORM } from '../../src/native-form.js'
import { NativeMessage } from '../../src/native-message.js'
import { unpack } from '../../src/sub-entries.js'

const ASSIGNMENT = { topic: 'orders', partition: 0, epoch: 1 }
const MAX_BYTES = 1024 * 1024
const READ_AT_A_TIME = 500
const QUIET: LibraryLogger = { debug() {}, info() {}, warn() {}, error() {} }

async function readChunk(bytes: Buffer): Promise<unknown> {
  const chunk = new Chunk(bytes)
  const entries: unknown[] = []
  const from = chunk.firstOffset
  let last = -1
  while (!chunk.done) {
    if (chunk.packed !== undefined)
      await unpack(chunk, 'orders', MAX_BYTES).catch((error: unknown) => {
        chunk.skipPacked()
        entries.push(String(error))
        if (!isStreamError(error)) throw error
      })
    for (const { offset, bytes: entry } of chunk.read(READ_AT_A_TIME, from)) {
      if (offset <= last) throw new Violation(`offset ${offset} follows ${last}`)
      last = offset
      entries.push(entry)
    }
  }
  return entries
}

/** What `StreamConnection` does with a frame, up to its events. */
function readFrame(frame: Buffer, decoder: ResponseDecoder): unknown {
  const key = frame.readUInt16BE(4)
  const version = frame.readUInt16BE(6)
  if (key === Key.deliver) return frame.subarray(version >= 2 ? 17 : 9)
  if (key === Key.confirm) return readConfirm(frame)
  if (key === Key.publishError) return readPublishErrors(frame)
  if (key === Key.consumerUpdate) return readConsumerUpdate(frame)
  if (key === Key.metadataUpdate) return readMetadataUpdate(frame)
  if (key === Key.close) return readClose(frame)
  decoder.add(frame, () => {
    throw new Error('no compression')
  })
  return undefined
}

function readFrames(bytes: Buffer): unknown {
  const taken: unknown[] = []
  const decoder = new ResponseDecoder((response) => void taken.push(response), QUIET)
  const reader = new FrameReader(MAX_BYTES)
  // In pieces, as a socket has them.
  const middle = bytes.length >> 1
  for (const piece of [bytes.subarray(0, middle), bytes.subarray(middle)])
    reader.push(piece, (frame) => void taken.push(readFrame(frame, decoder)))
  return taken
}

function readMessage(bytes: Buffer): unknown {
  const native = new NativeMessage('orders', 7, 1_700_000_000_000, bytes)
  const delivery = toDelivery(ASSIGNMENT, native, {}, STREAM_FORM)
  const { id, key, headers, timestamp, replyTo } = delivery
  const lost = STREAM_FORM.beyondPortable(native)
  const original = { native, part: 'message' as const }
  const record = { ...forwardedRecord(delivery), original }
  const passedOn = delivery.form === undefined ? undefined : encodedOriginal(record)
  return { id, key, bytes: delivery.bytes, headers, timestamp, replyTo, lost, passedOn }
}

const isDamage = (error: unknown): boolean => error instanceof RangeError
const hex = (texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'hex'))
const AMQP = hex([
  '005370',
  '005372',
  '005373',
  '005374',
  '005375',
  '005376',
  '005377',
  '005378',
  '45',
  '40',
  'a000',
  'c00301',
  'f0000000050000ffff40',
  '83',
  'd000000004ffffffff',
])

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'chunks',
    decode: readChunk,
    declares: isDamage,
    dictionary: hex(['80', '90', 'a0', 'b0', 'c0', 'f0', '00000000', 'ffffffff']),
  },
  {
    name: 'frames',
    decode: readFrames,
    declares: (error) => error instanceof Error && !(error instanceof TypeError),
    dictionary: hex([
      '00030001',
      '00040001',
      '00080001',
      '00080002',
      '00100001',
      '00160001',
      '001a0001',
      '80060001',
      '800f0001',
      '80190001',
      '801b0001',
      '801c0001',
      '0000001000030001',
    ]),
  },
  { name: 'messages', decode: readMessage, declares: () => false, dictionary: AMQP },
  transportSettings(streams, ['RABBITMQ_STREAM_URL', 'RABBITMQ_STREAM_MANAGEMENT_URL', 'STREAMSWITCH_TOPIC_NAMES']),
]
