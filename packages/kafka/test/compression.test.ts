import { Transport } from '@streamswitch/core'
import kafkajs from 'kafkajs'
import { afterEach, describe, expect, it } from 'vitest'
import { requireCompression } from '../src/compression.js'
import kafka from '../src/index.js'

const { CompressionCodecs, CompressionTypes } = kafkajs
const placeholder = CompressionCodecs[CompressionTypes.LZ4]

afterEach(() => {
  CompressionCodecs[CompressionTypes.LZ4] = placeholder as () => unknown
})

describe('compression', () => {
  it.each(['none', 'gzip'] as const)('%s needs nothing', (name) => {
    expect(() => requireCompression(name)).not.toThrow()
  })

  it('without its codec is refused when the transport is opened, naming the package', () => {
    expect(() => new Transport(kafka, 'kafka://127.0.0.1:1?compression=lz4', { environment: {} })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('kafkajs-lz4') }),
    )
  })

  it('with a registered codec is accepted', () => {
    CompressionCodecs[CompressionTypes.LZ4] = () => ({
      compress: async () => Buffer.alloc(0),
      decompress: async () => Buffer.alloc(0),
    })
    expect(() => requireCompression('lz4')).not.toThrow()
  })

  it('of a single producer is checked as well, before any I/O', async () => {
    const transport = new Transport(kafka, 'kafka://127.0.0.1:1', { environment: {} })
    const producer = transport.producer('orders', { kafka: { compression: 'lz4' } })
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await transport.close()
  })
})
