import type { Socket } from 'node:net'
import { Client, type ClientParams } from 'rabbitmq-stream-js-client'
import { Connection, type ConnectionParams } from 'rabbitmq-stream-js-client/dist/connection.js'
import type { Request } from 'rabbitmq-stream-js-client/dist/requests/request.js'
import type { Response } from 'rabbitmq-stream-js-client/dist/responses/response.js'

/**
 * What the patches use of rabbitmq-stream-js-client 1.0.0 beyond its public types. Everything is overridden in subclasses: the
 * library's own modules and prototypes stay as they are, so that an application may use it beside this adapter.
 */
export interface ConnectionInternals {
  readonly params: ConnectionParams
  readonly connectionId: string
  readonly hostname: string
  socket: Socket
  frameMax: number
  peerProperties: Record<string, string>
  serverEndpoint: { host: string; port: number }
  setupCompleted: boolean
  filteringEnabled: boolean
  readonly decoder: { add(data: Buffer, compression: (type: number) => unknown): void }
  createSocket(): Socket
  start(): Promise<unknown>
  close(): Promise<void>
  send(request: Request): Promise<void>
  sendAndWait<T extends Response>(request: Request): Promise<T>
  waitResponse(expected: { readonly correlationId: number; readonly key: number }): Promise<Response>
  responseReceived(response: Response): void
  received(data: Buffer): void
  incCorrelationId(): number
  getCompression(type: number): unknown
  getNextConsumerId(): number
  registerForClosePublisher(...registration: unknown[]): void
  registerForCloseConsumer(...registration: unknown[]): void
  exchangeProperties(): Promise<{ readonly properties: Record<string, string> }>
  auth(credentials: { readonly username: string; readonly password: string }): Promise<unknown>
  tune(heartbeatSeconds: number): Promise<{ readonly heartbeat: number }>
  open(target: { readonly virtualHost: string }): Promise<{ readonly ok: boolean; readonly error?: unknown }>
  exchangeCommandVersions(): Promise<boolean>
  readonly serverVersions: readonly { readonly key: number; readonly maxVersion: number }[]
  queryPublisherSequence(of: { readonly stream: string; readonly publisherRef: string }): Promise<bigint>
}

/** A logger of the shape that the library wants. */
export interface LibraryLogger {
  debug(message: string): void
  info(message: string): void
  error(message: string): void
  warn(message: string): void
}

/** The library's `Connection`, with its private members visible to the subclass. */
export const LibraryConnection = Connection as unknown as new (
  params: ConnectionParams,
  logger: LibraryLogger,
) => ConnectionInternals

type ClientPublic = Pick<
  Client,
  | 'createStream'
  | 'createSuperStream'
  | 'declareConsumer'
  | 'declarePublisher'
  | 'deleteStream'
  | 'deleteSuperStream'
  | 'queryMetadata'
  | 'queryPartitions'
  | 'routeQuery'
>

/** The library's `Client`, likewise. */
export interface ClientInternals extends ClientPublic {
  readonly params: ClientParams
  readonly consumers: Map<string, unknown>
  locatorConnection: ConnectionInternals
  pool: { releaseConnection(connection: unknown, manually?: boolean): Promise<void> }
  getLocatorConnection(): ConnectionInternals
  getConnection(stream: string, purpose: 'publisher' | 'consumer', listener?: unknown): Promise<ConnectionInternals>
  close(): Promise<void>
}

export const LibraryClient = Client as unknown as new (logger: LibraryLogger, params: ClientParams) => ClientInternals
