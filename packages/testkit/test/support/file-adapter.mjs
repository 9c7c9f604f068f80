// A transport for the tests of workers: a topic is a file of lines in the folder that the option `folder` names, read from its
// beginning by every consumer. Settling does nothing.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConsumerLoop, Producer } from '@streamswitch/core'
import { CAPABILITY_NAMES, Delivery, option } from '@streamswitch/core/driver'

class FileProducer {
  maxInFlightBatches = 1

  constructor(folder, spec) {
    this.file = join(folder, spec.topic.topic)
  }

  async open() {
    return { partitions: 1, maxPayloadBytes: 1_000_000 }
  }

  publish(batch) {
    for (const { id, key, payload } of batch.records)
      appendFileSync(this.file, `${JSON.stringify({ id, key, payload: payload?.toString() })}\n`)
    batch.acceptAll(0)
  }

  async close() {}
}

class FileConsumer {
  settlement = 'individual'
  redelivery = 'core'
  settleIntervalMs = 0
  #read = 0
  #timer

  constructor(folder, spec, sink) {
    const topic = spec.topics[0].topic
    this.file = join(folder, topic)
    this.assignment = { topic, partition: 0, epoch: 1 }
    this.sink = sink
  }

  async open() {
    this.sink.assigned([this.assignment])
    this.#timer = setInterval(() => this.#poll(), 5)
  }

  async ack() {}

  async stop() {
    clearInterval(this.#timer)
  }

  async close() {
    clearInterval(this.#timer)
  }

  #poll() {
    const lines = existsSync(this.file) ? readFileSync(this.file, 'utf8').split('\n').slice(0, -1) : []
    const fresh = lines.slice(this.#read).map((line, index) => {
      const { id, key, payload } = JSON.parse(line)
      return new Delivery(this.assignment, {
        id,
        key,
        payload: payload === undefined ? undefined : Buffer.from(payload),
        headers: {},
        timestamp: 0,
        position: this.#read + index,
        native: line,
      })
    })
    this.#read = lines.length
    if (fresh.length > 0) this.sink.deliver(this.assignment, fresh)
  }
}

const adapter = {
  name: 'file',
  schemes: ['lines'],
  capabilities: Object.fromEntries(CAPABILITY_NAMES.map((name) => [name, true])),
  reconnects: 'core',
  defaultUrl: 'lines://',
  environmentUrl: () => undefined,
  options: { folder: option.text() },
  producerOptions: {},
  consumerOptions: {},
  optionsFromUrl: () => ({}),
  connect: ({ folder }) => ({
    native: undefined,
    admin: {},
    producer: (spec) => new FileProducer(folder, spec),
    consumer: (spec, sink) => new FileConsumer(folder, spec, sink),
    close: async () => {},
  }),
  classifyError: (native) => native,
  classes: () => ({
    Producer: class extends Producer {
      constructor(topic, options) {
        super(adapter, topic, options)
      }
    },
    ConsumerLoop: class extends ConsumerLoop {
      constructor(topic, options) {
        super(adapter, topic, options)
      }
    },
  }),
}

export default adapter
