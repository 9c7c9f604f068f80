import { isStreamError, openTransport } from '@streamswitch/core'
import { AmqpReader, amqpBodyOf, formatReplyAddress, requestIdOf, toHeaderText } from '@streamswitch/core/driver'
import { type FuzzTarget, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import memory from '../../src/index.js'
import { amqpValues } from './amqp-values.js'

const AMQP_TOKENS = [
  '005375',
  '005376',
  '005377',
  '45',
  '40',
  'a000',
  'c003',
  'd0',
  'e0',
  'f0',
  'f000000005ffffffff40',
  'f0000000050000ffff45',
  '83',
  '73',
  '98',
].map((hex) => Buffer.from(hex, 'hex'))

/** Core's own decoders, tried here: core's tests know no testkit. */
export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'amqp-values',
    decode(bytes) {
      const reader = new AmqpReader(bytes)
      const values: unknown[] = []
      while (reader.at < bytes.length) {
        const from = reader.at
        const value = reader.value()
        const skipping = new AmqpReader(bytes, from)
        skipping.skip()
        if (skipping.at !== reader.at)
          throw new Violation(`a value ends at ${reader.at}, and at ${skipping.at} where it is passed over`)
        values.push(value, toHeaderText(value))
      }
      return values
    },
    declares: (error) => error instanceof RangeError,
    dictionary: AMQP_TOKENS,
    inputs: amqpValues,
  },
  {
    name: 'amqp-body',
    decode: (bytes) => amqpBodyOf(bytes),
    declares: () => false,
    dictionary: AMQP_TOKENS,
  },
  {
    name: 'reply-address',
    decode(bytes) {
      const found = requestIdOf(bytes.toString())
      if (found === undefined) return undefined
      return [found, requestIdOf(formatReplyAddress('memory', found.inbox, found.requestId))]
    },
    declares: () => false,
    dictionary: ['streamswitch:1:', 'streamswitch:2:', 'memory:', '#', ':'],
  },
  {
    name: 'dead-letter-cursor',
    async decode(bytes) {
      const transport = await openTransport('memory://', { environment: {} })
      try {
        return await transport.deadLetters('orders', { group: 'billing' }).list({ cursor: bytes.toString() })
      } finally {
        await transport.close()
      }
    },
    declares: (error) => isStreamError(error) && error.code === 'INVALID_ARGUMENT',
  },
  transportSettings(memory, [
    'STREAMSWITCH_TOPIC_NAMES',
    'STREAMSWITCH_GROUP_NAMES',
    'STREAMSWITCH_PREFIX',
    'STREAMSWITCH_CLIENT_ID',
    'STREAMSWITCH_REPLY_TTL_MS',
    'STREAMSWITCH_PROVISION',
    'STREAMSWITCH_FEEDBACK_URL',
  ]),
]
