import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openTransport, registerAdapter } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import adapter from '../src/index.js'
import { scratchFolder } from './scratch-folder.js'

registerAdapter(adapter)

const EXAMPLE =
  '{"bytes":21,"id":"order-7","key":"customer-42","timestamp":1767225600000,' +
  '"headers":{"tenant":"acme","note":"Grüße"},"contentType":"application/json"}\n{"id":7,"total":19.9}\n'

describe('the log of a partition', () => {
  it('holds the record of docs/wire-format.md as these bytes', async () => {
    await using folder = await scratchFolder()
    await using transport = await openTransport(`files://${folder.path}`)
    const headers = { tenant: 'acme', note: 'Grüße' }
    const options = { id: 'order-7', key: 'customer-42', timestamp: 1767225600000, headers }
    const { offset } = await transport.producer('orders').send({ id: 7, total: 19.9 }, options)
    expect(offset).toBe('0')
    expect(await readFile(join(folder.path, 'orders', '0.log'), 'utf8')).toBe(EXAMPLE)
  })

  it('holds a tombstone as a line without a payload, apart from empty bytes', async () => {
    await using folder = await scratchFolder()
    await using transport = await openTransport(`files://${folder.path}`)
    const producer = transport.producer<Buffer>('orders', { codec: 'bytes' })
    await producer.send(undefined as unknown as Buffer, { id: 'a', timestamp: 1 })
    await producer.send(Buffer.alloc(0), { id: 'b', timestamp: 2 })
    const lines = (await readFile(join(folder.path, 'orders', '0.log'), 'utf8')).split('\n')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ bytes: null, id: 'a', timestamp: 1 })
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ bytes: 0, id: 'b', timestamp: 2 })
    expect(lines.slice(2)).toEqual(['', ''])
  })

  it('passes over lines that begin no record, and tells of each', async () => {
    await using folder = await scratchFolder()
    await using transport = await openTransport(`files://${folder.path}`, { logger: silent })
    await transport.producer('orders').send('first')
    const log = join(folder.path, 'orders', '0.log')
    const { length } = await readFile(log)
    await appendFile(log, 'hello\n{"bytes":"seven"}\n{"bytes":3}\nlonger\n{"bytes":8}\n"second"\n')
    const loop = transport.consumer('orders', { group: 'all' })
    const errors: unknown[] = []
    loop.on('error', (error) => errors.push(error))
    const values: unknown[] = []
    for await (const message of loop) {
      if (values.push(message.value) === 2) {
        await message.ack()
        break
      }
    }
    expect(values).toEqual(['first', 'second'])
    expect(errors).toHaveLength(4)
    expect(errors[0]).toMatchObject({ code: 'SERIALIZATION', topic: 'orders' })
    expect(String(errors[0])).toContain(`byte ${length}`)
  })

  it('is repaired by the next writer where one was killed in the middle of a record', async () => {
    await using folder = await scratchFolder()
    await using first = await openTransport(`files://${folder.path}`)
    await first.producer('orders').send('first')
    await first.close()
    const log = join(folder.path, 'orders', '0.log')
    const whole = await readFile(log, 'utf8')
    await appendFile(log, '{"bytes":100}\nonly this much')
    await using second = await openTransport(`files://${folder.path}`)
    const { offset } = await second.producer('orders').send('second')
    const repaired = await readFile(log, 'utf8')
    const blank = '\n'.repeat('{"bytes":100}\nonly this much'.length)
    expect(repaired.startsWith(`${whole}${blank}{"bytes":8`)).toBe(true)
    expect(offset).toBe(String(whole.length + blank.length))
    const values: unknown[] = []
    for await (const message of second.consumer('orders', { group: 'all' })) {
      if (values.push(message.value) === 2) break
    }
    expect(values).toEqual(['first', 'second'])
  })

  it('is refused when its format is a newer one', async () => {
    await using folder = await scratchFolder()
    await using transport = await openTransport(`files://${folder.path}`)
    await transport.producer('orders').send('first')
    await writeFile(join(folder.path, 'orders', 'topic.json'), '{"format":2,"partitions":1}\n')
    await using later = await openTransport(`files://${folder.path}`)
    await expect(later.producer('orders').send('second')).rejects.toMatchObject({ code: 'CONFLICT' })
  })
})

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
