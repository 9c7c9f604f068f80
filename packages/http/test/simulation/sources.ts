import type {
  ConsumerDriver,
  ConsumerSink,
  ConsumerSpec,
  Logger,
  ProducerSpec,
  TransportContext,
} from '@streamswitch/core/driver'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Pool } from 'undici'
import type { HttpClient } from '../../src/client/http-client.js'
import type { HttpConsumerOptionValues, HttpOptionValues, HttpProducerOptionValues } from '../../src/options.js'
import type { HttpProducerDriver } from '../../src/producer.js'
import type { Hub } from '../../src/server/hub.js'
import type { Lease } from '../../src/server/listener.js'
import type { RequestLimits } from '../../src/server/requests.js'

/** What of the sources is simulated: the package's own, or a copy of them that has been changed. */
export interface Sources {
  readonly Hub: new () => Hub
  readonly HttpClient: new (
    options: HttpOptionValues,
    logger: Logger,
    createPool: (origin: string) => Pool,
  ) => HttpClient
  readonly HttpConsumerDriver: new (
    spec: ConsumerSpec<HttpConsumerOptionValues>,
    sink: ConsumerSink,
    basePath: string,
    listen: (report: (error: unknown) => void) => Promise<Lease>,
  ) => ConsumerDriver
  readonly HttpProducerDriver: new (
    spec: ProducerSpec<HttpProducerOptionValues>,
    options: HttpOptionValues,
    context: Pick<TransportContext, 'prefix' | 'nativeGroups'>,
    client: HttpClient,
  ) => HttpProducerDriver
  readonly handlePost: (hub: Hub, limits: RequestLimits, request: FastifyRequest, reply: FastifyReply) => void
}

/** @param folder - where the sources are, as an absolute path or relative to this file. */
export async function loadSources(folder: string): Promise<Sources> {
  const [{ Hub }, { HttpClient }, { HttpConsumerDriver }, { HttpProducerDriver }, { handlePost }] = await Promise.all([
    import(/* @vite-ignore */ `${folder}/server/hub.ts`),
    import(/* @vite-ignore */ `${folder}/client/http-client.ts`),
    import(/* @vite-ignore */ `${folder}/consumer.ts`),
    import(/* @vite-ignore */ `${folder}/producer.ts`),
    import(/* @vite-ignore */ `${folder}/server/requests.ts`),
  ])
  return { Hub, HttpClient, HttpConsumerDriver, HttpProducerDriver, handlePost }
}
