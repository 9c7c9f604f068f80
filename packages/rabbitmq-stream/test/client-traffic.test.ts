import { Socket } from 'node:net'
import util from 'node:util'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { numbers, openStream, unique, until } from './support/bench.js'

/** Frames of the stream protocol begin with their length and their kind. */
const DECLARE_PUBLISHER = 1

/** What is turned into text from now until the end of the test. CommonJS modules, as the library's, look the function up for each call. */
function renderings(): readonly unknown[] {
  const seen: unknown[] = []
  const { inspect } = util
  const counting = (...args: Parameters<typeof inspect>): string => {
    seen.push(args[0])
    return inspect(...args)
  }
  util.inspect = Object.assign(counting, inspect)
  onTestFinished(() => {
    util.inspect = inspect
  })
  return seen
}

describe('on its way', () => {
  test('no frame is rendered for a log that nobody reads', async () => {
    const topic = unique('topic')
    const transport = openStream()
    const producer = transport.producer<number>(topic, { maxBatchRecords: 10 })
    const loop = transport.consumer<number>(topic, { group: unique('group') })
    let handled = 0
    loop.handle(() => {
      handled += 1
    })
    const run = loop.run()
    // The connections are open by then: the client library renders their handshakes.
    await producer.send(0)
    await until(() => handled === 1)
    const rendered = renderings()
    // Publishes and confirms, chunks and credits, positions that are stored and asked for, the end of a loop.
    await Promise.all(numbers(1_000).map((number) => producer.send(number)))
    await until(() => handled === 1_001)
    await loop.close()
    await run
    expect(rendered).toEqual([])
  })

  test("Nagle's algorithm is off, on every connection", async () => {
    const connect = vi.spyOn(Socket.prototype, 'connect')
    const setNoDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
    onTestFinished(() => {
      connect.mockRestore()
      setNoDelay.mockRestore()
    })
    const topic = unique('topic')
    const transport = openStream()
    await transport.producer<number>(topic).send(1)
    await transport.consumer<number>(topic, { group: unique('group') }).init()
    await transport.admin.lag(transport.topicSpec(topic), 'nobody').catch(() => {})
    const opened = connect.mock.contexts
    expect(opened.length, 'those of the producer, the loop and the admin').toBeGreaterThanOrEqual(3)
    for (const socket of opened) {
      const call = setNoDelay.mock.contexts.lastIndexOf(socket)
      expect(setNoDelay.mock.calls[call]).toEqual([true])
    }
  })

  test('many first sends at once open one publisher for each partition', async () => {
    const write = vi.spyOn(Socket.prototype, 'write')
    onTestFinished(() => write.mockRestore())
    const topic = unique('topic')
    // Each record is a batch, so that many are handed to each partition while nothing is open yet.
    const producer = openStream().producer<number>(topic, { partitions: 3, maxBatchRecords: 1 })
    const sent = await Promise.all(numbers(300).map((number) => producer.send(number, { partition: number % 3 })))
    expect(sent.map(({ partition }) => partition)).toEqual(numbers(300).map((number) => number % 3))
    const declared = write.mock.calls.filter(
      ([frame]) => frame instanceof Uint8Array && Buffer.from(frame).readUInt16BE(4) === DECLARE_PUBLISHER,
    )
    expect(declared).toHaveLength(3)
  })
})
