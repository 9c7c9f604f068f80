import { isStreamError } from '@streamswitch/core'
import { type FuzzTarget, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import { assignInTurn, assignRanges, subscribersByTopic } from '../../src/assigners.js'
import { decodeMetadata } from '../../src/commit-metadata.js'
import { decompress } from '../../src/compression.js'
import { decodeFetchResponse, extentOf } from '../../src/fetch-response.js'
import kafka from '../../src/index.js'
import type { FetchedRecord } from '../../src/kafkajs-internals.js'
import { toDelivery } from '../../src/message.js'
import { KAFKA_FORM } from '../../src/native-form.js'
import { plainRecord } from '../../src/received-record.js'
import { recordBatches, withFittingChecksums } from './record-batches.js'

const LIMITS = { maxDecompressedBytes: 1024 * 1024 }
const ASSIGNMENT = { topic: 'orders', partition: 0, epoch: 1 }
const HISTORY = { priorAttempts: 0, wasAtWork: false, suspect: false }

/** Damage: what a reader documents. Anything else, a TypeError for one, is a defect of the reader. */
const isDamage = (error: unknown): boolean => error instanceof RangeError
const HEADERS = ['streamswitch-id', 'streamswitch-timestamp', 'streamswitch-reply-to', '__proto__', '\u00ff\ufffd']

/** How data of each codec begin, of snappy in both framings. */
const MAGIC = ['1f8b08', '82534e41505059000000000100000001', 'ff060000734e61507059', '04224d18', '28b52ffd'].map(
  (hex) => Buffer.from(hex, 'hex'),
)

/** A Fetch response with one partition that holds these batches. */
function responseWith(batches: Buffer): Buffer {
  const head = Buffer.from(
    `00000000000000000000000000010006${Buffer.from('orders').toString('hex')}00000001000000000000`,
    'hex',
  )
  const rest = Buffer.alloc(8 * 3 + 4 * 3)
  rest.writeInt32BE(-1, 24)
  rest.writeInt32BE(-1, 28)
  rest.writeInt32BE(batches.length, 32)
  return Buffer.concat([head, rest, batches])
}

function readRecord(record: FetchedRecord): unknown {
  const delivery = toDelivery(record as never, Number(record.offset), ASSIGNMENT, HISTORY)
  for (const value of Object.values(delivery.headers))
    if (typeof value !== 'string') throw new Violation(`a header is a ${typeof value}`)
  if (Number.isNaN(delivery.timestamp)) throw new Violation('the timestamp is NaN')
  const { id, key, bytes, headers, timestamp, replyTo } = delivery
  return {
    id,
    key,
    bytes,
    headers,
    timestamp,
    replyTo,
    lost: KAFKA_FORM.beyondPortable(record),
    plain: plainRecord(record).headers,
  }
}

async function readResponse(raw: Buffer): Promise<unknown> {
  const response = await decodeFetchResponse(raw, LIMITS)
  return response?.responses.flatMap(({ partitions }) =>
    partitions.map(({ messages, abortedTransactions }) => {
      const extent = extentOf(messages)
      const last = messages.at(-1)
      if (extent?.nextOffset !== undefined && last !== undefined && Number(last.offset) >= extent.nextOffset)
        throw new Violation(`offset ${last.offset} lies behind its batch, which ends at ${extent.nextOffset}`)
      return { abortedTransactions, extent, records: messages.map(readRecord) }
    }),
  )
}

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'fetch-response',
    decode: readResponse,
    declares: isDamage,
    dictionary: HEADERS,
    repair: withFittingChecksums,
  },
  {
    name: 'record-batches',
    decode: (bytes) => readResponse(responseWith(bytes)),
    declares: isDamage,
    dictionary: HEADERS,
    inputs: recordBatches,
    repair: withFittingChecksums,
  },
  {
    // The first byte chooses the codec: gzip, snappy, lz4 or zstd.
    name: 'compressed-data',
    decode: (bytes) => decompress(1 + ((bytes[0] ?? 0) % 4), bytes.subarray(1), LIMITS.maxDecompressedBytes),
    declares: (error) => isStreamError(error) && ['SERIALIZATION', 'TOO_LARGE'].includes(error.code),
    dictionary: MAGIC,
  },
  {
    name: 'commit-metadata',
    decode: (bytes) => {
      const metadata = decodeMetadata(1_000, bytes.toString(), 'orders')
      for (const number of [metadata?.deliveredBelow ?? 0, ...(metadata?.attempts.keys() ?? [])])
        if (!Number.isSafeInteger(number)) throw new Violation(`${number} is no offset`)
      return metadata
    },
    declares: (error) => isStreamError(error) && error.code === 'UNSUPPORTED',
    dictionary: [
      'streamswitch/1 ',
      'streamswitch/2 ',
      ' owner=',
      ' ahead=',
      ' clean=1',
      ' attempts=',
      '0:2,7:1',
      '9007199254740991',
      '-1',
      '1e9',
      ',',
    ],
  },
  {
    // Two members, ours and another one.
    name: 'member-metadata',
    decode: (bytes) => {
      const ours = Buffer.from(`0000000000010006${Buffer.from('orders').toString('hex')}00000000`, 'hex')
      const members = [ours, bytes].map((memberMetadata, index) => ({ memberId: `m${index}`, memberMetadata }))
      const subscribers = subscribersByTopic(members)
      const partitions = new Map([['orders', 8]])
      return [assignRanges(subscribers, partitions), assignInTurn(subscribers, partitions)]
    },
    declares: () => false,
    dictionary: [Buffer.from('ffffffff', 'hex'), Buffer.from('7fffffff', 'hex'), '\0\u0006orders', '__proto__'],
  },
  transportSettings(kafka, [
    'KAFKA_BROKERS',
    'KAFKA_TLS',
    'KAFKA_COMPRESSION',
    'KAFKA_SASL_MECHANISM',
    'KAFKA_USERNAME',
    'STREAMSWITCH_TOPIC_NAMES',
  ]),
]
