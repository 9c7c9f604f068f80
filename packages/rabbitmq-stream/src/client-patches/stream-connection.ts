import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { answerDeadline, messageOf, signOfLife } from '@streamswitch/core/driver'
import type { ConnectionParams } from 'rabbitmq-stream-js-client/dist/connection.js'
import { CloseRequest } from 'rabbitmq-stream-js-client/dist/requests/close_request.js'
import { HeartbeatRequest } from 'rabbitmq-stream-js-client/dist/requests/heartbeat_request.js'
import type { Request } from 'rabbitmq-stream-js-client/dist/requests/request.js'
import { SaslHandshakeRequest } from 'rabbitmq-stream-js-client/dist/requests/sasl_handshake_request.js'
import type { Response } from 'rabbitmq-stream-js-client/dist/responses/response.js'
import { FrameReader } from './frame-reader.js'
import { Heartbeat } from './heartbeat.js'
import { LibraryConnection, type LibraryLogger } from './library.js'
import { encodeRequest, PlainAuthenticateRequest } from './request-encoder.js'
import { ConnectionGone, ResponseCode, ServerError } from './server-error.js'
import {
  Key,
  readClose,
  readConfirm,
  readConsumerUpdate,
  readMetadataUpdate,
  readPublishErrors,
  rightFor,
  type ServerFrames,
  streamOf,
} from './server-frames.js'

/** Far above the largest chunk that a broker makes. */
const MAX_RECEIVED_FRAME_BYTES = 256 * 1024 * 1024
const CLOSE_TIMEOUT_MS = 1_000
/** A heartbeat's frame, which says no more than that there is somebody. */
const HEARTBEAT_BYTES = 8

/** What happens on a connection. */
export interface ConnectionEvents extends ServerFrames<StreamConnection> {
  /** The connection has ended without having been closed here. Called once. */
  closed(connection: StreamConnection, error: Error): void
}

export interface StreamConnectionParams extends ConnectionParams {
  readonly events: ConnectionEvents
  /** Maximum silence while a request waits for its answer, in milliseconds; then the connection counts as dead. */
  readonly requestTimeoutMs: number
}

interface PendingRequest {
  readonly resolve: (response: Response) => void
  readonly reject: (error: Error) => void
  /** Ends its deadline. */
  readonly answered: () => void
  /** What it is about. */
  readonly stream: string | undefined
}

/**
 * A connection of the library with its defects mended: it always settles what it is asked, never ends the process, and says
 * when it is gone. See `docs/transports/rabbitmq-stream.md` for the list.
 */
export class StreamConnection extends LibraryConnection {
  readonly #pending = new Map<number, PendingRequest>()
  /** Answers without a pending request yet: the server's Tune. */
  readonly #early = new Map<number, Response>()
  readonly #frames = new FrameReader(MAX_RECEIVED_FRAME_BYTES)
  readonly #heartbeat = new Heartbeat(
    () => this.write(encodeRequest(new HeartbeatRequest())),
    (silentMs) => this.fail(new ConnectionGone(`the broker was silent for ${Math.round(silentMs)} ms`)),
  )
  readonly #subscriptionIds = new Set<number>()
  #failure: Error | undefined
  #corked = false
  #closing = false
  #rejectStart: ((error: Error) => void) | undefined

  constructor(params: StreamConnectionParams, logger: LibraryLogger) {
    super(params, logger)
  }

  get #settings(): StreamConnectionParams {
    return this.params as StreamConnectionParams
  }

  /** Set once the connection has ended or was closed. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Defect: Nagle's algorithm is left on, which costs a factor of three. Called by the base constructor: no fields here. */
  override createSocket(): Socket {
    return super.createSocket().setNoDelay(true)
  }

  /** Defects: a refused login or vhost rejects inside an event listener, which ends the process; a peer that hangs up leaves the call pending. */
  override start(): Promise<this> {
    return new Promise((resolve, reject) => {
      this.#rejectStart = reject
      this.socket.on('error', (error) => this.fail(error))
      this.socket.on('close', () => this.fail(new ConnectionGone('the broker closed the connection')))
      this.socket.on('data', (data) => this.received(data))
      this.socket.once(this.params.ssl ? 'secureConnect' : 'connect', () => {
        this.#handshake().then(
          () => resolve(this),
          (error: Error) => this.fail(error),
        )
      })
    })
  }

  async #handshake(): Promise<void> {
    this.peerProperties = (await this.exchangeProperties()).properties
    await this.auth(this.params)
    const { heartbeat } = await this.tune(this.params.heartbeat ?? 0)
    await this.open({ virtualHost: this.params.vhost })
    await this.exchangeCommandVersions()
    this.filteringEnabled = this.serverVersions.some(({ key, maxVersion }) => key === Key.publish && maxVersion >= 2)
    this.#heartbeat.start(heartbeat * 1_000)
    this.#rejectStart = undefined
    this.setupCompleted = true
  }

  override async auth(credentials: { readonly username: string; readonly password: string }): Promise<unknown> {
    await this.sendAndWait(new SaslHandshakeRequest())
    return this.sendAndWait(new PlainAuthenticateRequest(credentials.username, credentials.password))
  }

  /** Ends the connection: all pending requests are rejected, and its owner is notified, once. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.setupCompleted = false
    this.#heartbeat.stop()
    this.socket.destroy()
    for (const { reject, answered } of this.#pending.values()) {
      answered()
      reject(error)
    }
    this.#pending.clear()
    if (this.#rejectStart !== undefined) this.#rejectStart(error)
    else if (!this.#closing) this.#settings.events.closed(this, error)
  }

  /** Writes a frame, and is done with it: the system has it when this returns, whatever becomes of the process. Without effect once the connection is gone: what it was for is settled by `closed`. */
  write(frame: Buffer): void {
    if (this.#failure !== undefined) return
    this.#heartbeat.said()
    this.socket.write(frame)
    this.#flush()
  }

  /** The same for a frame that awaits its answer: those of one turn leave with one system call. */
  #ask(frame: Buffer): void {
    if (this.#failure !== undefined) return
    this.#heartbeat.said()
    if (!this.#corked) {
      this.#corked = true
      this.socket.cork()
      setImmediate(() => this.#flush())
    }
    this.socket.write(frame)
  }

  #flush(): void {
    if (!this.#corked) return
    this.#corked = false
    this.socket.uncork()
  }

  /** Defects: never settles on a closed socket; renders every frame for a log that is off, at 1 ms per 100 KiB. */
  override send(request: Request): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.write(encodeRequest(request))
    return Promise.resolve()
  }

  /**
   * Defects: no deadline; pending forever when the connection ends; an answer before the write's callback is lost or
   * rejected with a number.
   */
  override sendAndWait<T extends Response>(request: Request): Promise<T> {
    const correlationId = this.incCorrelationId()
    const answer = this.#answer(correlationId, request.constructor.name, streamOf(request))
    this.#ask(encodeRequest(request, correlationId))
    return answer as Promise<T>
  }

  /** Resolves when the broker has shown that it works: by its answer to the request, or by anything but a heartbeat that arrives before. */
  probe(request: Request): Promise<void> {
    return signOfLife(this.socket, this.sendAndWait(request), HEARTBEAT_BYTES)
  }

  override waitResponse(expected: { readonly correlationId: number; readonly key: number }): Promise<Response> {
    const early = this.#early.get(expected.correlationId)
    if (early === undefined) return this.#answer(expected.correlationId, 'Tune')
    this.#early.delete(expected.correlationId)
    return Promise.resolve(early)
  }

  #answer(correlationId: number, action: string, stream?: string): Promise<Response> {
    const failure = this.#failure
    if (failure !== undefined) return Promise.reject(failure)
    return new Promise((resolve, reject) => {
      const { requestTimeoutMs } = this.#settings
      const answered = answerDeadline(
        () => this.socket.bytesRead,
        requestTimeoutMs,
        () => this.fail(new ConnectionGone(`no answer to ${action} within ${requestTimeoutMs} ms`)),
      )
      this.#pending.set(correlationId, { resolve, reject, answered, stream })
    })
  }

  override responseReceived(response: Response): void {
    const pending = this.#take(response.correlationId)
    if (pending === undefined) this.#early.set(response.correlationId, response)
    else pending.resolve(response)
  }

  #take(correlationId: number): PendingRequest | undefined {
    const pending = this.#pending.get(correlationId)
    this.#pending.delete(correlationId)
    pending?.answered()
    return pending
  }

  /** Defects: whatever can't be decoded, and any Close of the server, is thrown out of the socket's event and ends the process. */
  override received(data: Buffer): void {
    this.#heartbeat.heard()
    try {
      this.#frames.push(data, (frame) => this.#handle(frame))
    } catch (error) {
      this.fail(new ConnectionGone(`a frame could not be read: ${messageOf(error)}`))
    }
  }

  #handle(frame: Buffer): void {
    if (this.#failure !== undefined) return
    const { events } = this.#settings
    const key = frame.readUInt16BE(4)
    const version = frame.readUInt16BE(6)
    if (key === Key.deliver) return events.chunk(this, frame.readUInt8(8), frame.subarray(version >= 2 ? 17 : 9))
    if (key === Key.confirm) return events.confirmed(this, frame.readUInt8(8), readConfirm(frame))
    if (key === Key.publishError) return events.refused(this, frame.readUInt8(8), readPublishErrors(frame))
    if (key === Key.consumerUpdate) return events.consumerUpdate(this, readConsumerUpdate(frame))
    if (key === Key.metadataUpdate) return events.streamChanged(this, readMetadataUpdate(frame))
    if (key === Key.heartbeat) return
    if (key === Key.credit) return events.creditRefused(this, frame.readUInt8(10), frame.readUInt16BE(8))
    if (key === Key.close) return this.#closedByServer(frame)
    this.#response(key, frame)
  }

  /** The answer to a request. One that isn't OK is rejected by its code before the library decodes a body that isn't there. */
  #response(key: number, frame: Buffer): void {
    const isAnswer = key >= Key.firstResponse && key !== Key.metadataResponse
    const code = isAnswer ? frame.readUInt16BE(12) : ResponseCode.ok
    if (code === ResponseCode.ok) return this.decoder.add(frame, (type) => this.getCompression(type))
    const pending = this.#take(frame.readUInt32BE(8))
    const right = rightFor(key)
    const needed = right === undefined || pending?.stream === undefined ? undefined : { right, stream: pending.stream }
    pending?.reject(new ServerError(code, Key.nameOf(key), undefined, needed))
  }

  #closedByServer(frame: Buffer): void {
    const { correlationId, code, reason } = readClose(frame)
    const answer = Buffer.alloc(14)
    answer.writeUInt32BE(10, 0)
    answer.writeUInt16BE(Key.closeResponse, 4)
    answer.writeUInt16BE(1, 6)
    answer.writeUInt32BE(correlationId, 8)
    answer.writeUInt16BE(ResponseCode.ok, 12)
    this.write(answer)
    this.fail(new ServerError(code, 'the connection was closed', reason))
  }

  /** Defect: ids only rise, and the 257th throws. Freed ones are used again. */
  override getNextConsumerId(): number {
    for (let id = 0; id < 256; id += 1) {
      if (this.#subscriptionIds.has(id)) continue
      this.#subscriptionIds.add(id)
      return id
    }
    throw new RangeError('a connection carries at most 256 subscriptions')
  }

  /**
   * Defects: a leader that moves makes the library close what it had there, which causes an unhandled rejection; each
   * registration is kept for as long as the connection. Moves are reported by `streamChanged`.
   */
  override registerForCloseConsumer(): void {}

  override registerForClosePublisher(): void {}

  /** The broker has confirmed that this subscription is gone. */
  releaseConsumerId(id: number): void {
    this.#subscriptionIds.delete(id)
  }

  /** Numbers in use. */
  get subscriptionIds(): ReadonlySet<number> {
    return this.#subscriptionIds
  }

  /**
   * Closes the connection cleanly, within a second at most. Never rejects. Defect: the library's version waits for an
   * answer forever.
   */
  override async close(): Promise<void> {
    if (this.#failure !== undefined) return
    this.#closing = true
    const goodbye = this.sendAndWait(new CloseRequest({ closingCode: ResponseCode.ok, closingReason: 'OK' })).catch(
      () => {},
    )
    await Promise.race([goodbye, delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
    this.fail(new ConnectionGone('closed'))
  }
}
