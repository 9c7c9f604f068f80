import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  Producer,
  type ProducerOptions,
  type TopicSelection,
  type TransportContext,
  type TransportDriver,
} from '@streamswitch/core/driver'
import { FilesAdmin } from './admin.js'
import { Connection } from './connection.js'
import { FilesConsumerDriver } from './consumer.js'
import { classifyError } from './errors.js'
import { type FilesSettings, filesFields, optionsFromUrl } from './options.js'
import { FilesProducerDriver } from './producer.js'

/** Topics are folders, partitions are files that records are appended to: for `registerAdapter` of `@streamswitch/core`. */
export const adapter: AdapterDefinition = {
  name: 'files',
  schemes: ['files'],
  capabilities: {
    groups: true,
    competingMembers: true,
    keyOrder: true,
    durable: true,
    replay: true,
    retainsWithoutGroup: true,
    assignments: true,
    manualAck: true,
    deadLetters: true,
    attemptsSurviveRestart: false,
    publishDedupe: false,
    lag: true,
    requestReply: true,
    multiProcess: true,
  },
  reconnects: 'core',
  defaultUrl: 'files:///var/lib/streamswitch',
  environmentUrl: (environment) => environment.FILES_URL,
  options: filesFields,
  producerOptions: {},
  consumerOptions: {},
  optionsFromUrl,
  connect: (options, context) => connect(options as FilesSettings, context),
  classifyError,
  classes: () => ({ Producer: FilesProducer, ConsumerLoop: FilesConsumerLoop }),
}

function connect(options: FilesSettings, context: TransportContext): TransportDriver {
  const connection = new Connection(options, context)
  return {
    native: undefined,
    admin: new FilesAdmin(connection, context.prefix),
    producer: (spec, sink) => new FilesProducerDriver(connection, spec, sink),
    consumer: (spec, sink) => new FilesConsumerDriver(connection, spec, sink),
    close: () => connection.close(),
  }
}

/** A producer that opens its own transport: the options of `openTransport` and of `transport.producer` combined. */
export class FilesProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A loop that opens its own transport: the options of `openTransport` and of `transport.consumer` combined. */
export class FilesConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
