import {
  type AdapterDefinition,
  ConsumerLoop,
  type ConsumerLoopOptions,
  environmentText,
  type OptionFields,
  type OptionValues,
  officialIdentity,
  Problems,
  Producer,
  type ProducerOptions,
  type TopicSelection,
  type TransportContext,
} from '@streamswitch/core/driver'
import { DEFAULT_TOKEN_NAME } from './access-options.js'
import { HttpConnection } from './connection.js'
import { classifyError } from './errors.js'
import { type HttpOptionValues, httpConsumerFields, httpFields, httpProducerFields, optionsFromUrl } from './options.js'

/** Plain HTTP between services, without a broker: the sender's request is answered when the receiver's handler has resolved. */
export const adapter: AdapterDefinition = {
  ...officialIdentity('http'),
  reconnects: 'never',
  defaultUrl: 'http://127.0.0.1:8080',
  environmentUrl: (environment) => environmentText(environment, 'HTTP_URL'),
  options: httpFields,
  producerOptions: httpProducerFields,
  consumerOptions: httpConsumerFields,
  optionsFromUrl,
  nativeNames: { topic: segmentProblem, group: segmentProblem },
  connect: (options, context) => connect(options as HttpOptionValues, context),
  classifyError,
  classes: () => ({ Producer: HttpProducer, ConsumerLoop: HttpConsumerLoop }),
}

/** Topics and groups are segments of paths, which clients write in different ways if they need escapes. */
function segmentProblem(name: string): string | undefined {
  const isSegment = /^[A-Za-z0-9._~-]+$/.test(name) && name !== '.' && name !== '..'
  return isSegment ? undefined : "must be a path segment of A-Z, a-z, 0-9, '.', '_', '~' and '-'"
}

/** Returns whether a base URL can be called: hosts are more restricted than in a transport's URL. */
function isAddress(baseUrl: string): boolean {
  return URL.canParse(baseUrl) && /^https?:$/.test(new URL(baseUrl).protocol)
}

/** Throws INVALID_ARGUMENT for options that contradict each other. */
function connect(options: OptionValues<OptionFields> & HttpOptionValues, context: TransportContext): HttpConnection {
  const problems = new Problems()
  for (const baseUrl of options.baseUrls ?? [])
    if (!isAddress(baseUrl)) problems.add('baseUrls', 'a host in them is not a valid host name or address')
  const listensByTls = options.listenTlsCertFile !== undefined
  if (listensByTls !== (options.listenTlsKeyFile !== undefined))
    problems.add('listenTlsKeyFile', 'listenTlsCertFile and listenTlsKeyFile must be set together')
  if (options.listenTlsCaFile !== undefined && !listensByTls)
    problems.add('listenTlsCaFile', 'requires listenTlsCertFile')
  if (options.maxRequestBytes < options.maxPayloadBytes)
    problems.add('maxRequestBytes', `must not be less than maxPayloadBytes (${options.maxPayloadBytes})`)
  if (options.listenToken !== undefined && Object.hasOwn(options.listenTokens ?? {}, DEFAULT_TOKEN_NAME))
    problems.add('listenTokens', `'${DEFAULT_TOKEN_NAME}' is the name of listenToken: set both under it, as a list`)
  problems.throwIfAny('invalid options of the http transport', { transport: 'http', operation: 'configure' })
  return new HttpConnection(options, context)
}

/** A producer on the HTTP transport. */
export class HttpProducer<T = unknown> extends Producer<T> {
  constructor(topic: string, options?: ProducerOptions<T>) {
    super(adapter, topic, options)
  }
}

/** A consumer loop on the HTTP transport. */
export class HttpConsumerLoop<T = unknown> extends ConsumerLoop<T> {
  constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
  }
}
