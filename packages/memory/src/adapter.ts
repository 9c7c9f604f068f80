import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  type ConsumerSink,
  type ConsumerSpec,
  type OptionValues,
  officialIdentity,
  Producer,
  type ProducerOptions,
  type ProducerSpec,
  type TopicSelection,
  type TransportContext,
  type TransportDriver,
} from '@streamswitch/core/driver'
import { MemoryAdmin } from './admin.js'
import { memoryBroker } from './connection.js'
import { MemoryConsumerDriver } from './consumer.js'
import { classifyError } from './errors.js'
import { memoryConsumerFields, memoryFields, memoryProducerFields, optionsFromUrl } from './options.js'
import { MemoryProducerDriver } from './producer.js'
import { memoryReplies } from './replies.js'

/** The embedded transport: brokers within this process. For development, tests and single-process services. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('memory'),
  reconnects: 'never',
  defaultUrl: 'memory://',
  environmentUrl: () => undefined,
  options: memoryFields,
  producerOptions: memoryProducerFields,
  consumerOptions: memoryConsumerFields,
  optionsFromUrl,
  // It accepts any name.
  nativeNames: { topic: () => undefined, group: () => undefined },
  connect: (options, context) => connect(options as OptionValues<typeof memoryFields>, context),
  classifyError,
  classes: () => ({ Producer: MemoryProducer, ConsumerLoop: MemoryConsumerLoop }),
}

function connect(options: OptionValues<typeof memoryFields>, context: TransportContext): TransportDriver {
  const broker = memoryBroker(options.name)
  return {
    native: broker,
    admin: new MemoryAdmin(broker, context.prefix, options.maxBytes),
    producer: (spec: ProducerSpec) =>
      new MemoryProducerDriver(broker, spec as ProducerSpec<OptionValues<typeof memoryProducerFields>>, options),
    consumer: (spec: ConsumerSpec, sink: ConsumerSink) =>
      new MemoryConsumerDriver(broker, spec, sink, options.maxBytes),
    replies: memoryReplies(broker, options.maxPayloadBytes),
    close: async () => {},
  }
}

/** A producer on the memory transport. */
export class MemoryProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on the memory transport. */
export class MemoryConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
