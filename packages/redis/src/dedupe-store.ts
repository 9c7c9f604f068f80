import {
  type ClaimAnswer,
  type CompletionAnswer,
  type DedupeClaim,
  type DedupeStore,
  driverOf,
  StreamError,
  type Transport,
} from '@streamswitch/core/driver'
import type { Argument, Connection, Connector } from './connection.js'
import { classifyError } from './errors.js'
import { markKey } from './keys.js'
import { CLAIM_MARKS, COMPLETE_MARKS, EXTEND_MARKS, MARKED, RELEASE_MARKS } from './mark-scripts.js'
import type { Script } from './script.js'
import { connectorOf } from './transports.js'

/**
 * Stores on a Redis server which messages the groups of any transport have handled: `dedupe: { store: new
 * RedisDedupeStore(transport) }`, with a Redis transport for the address, the credentials and TLS; the messages may use
 * another transport. If they use Redis, on the same server, a message's mark and its ack are one atomic step. Connects
 * on first use, reconnects after a lost connection, and is closed with its transport. May be shared by any number of
 * loops.
 */
export class RedisDedupeStore implements DedupeStore {
  readonly claimsAhead = true
  /** @internal */
  readonly connector: Connector
  #connection: Promise<Connection> | undefined

  /** Throws INVALID_ARGUMENT for a transport that isn't Redis. No I/O. */
  constructor(transport: Transport) {
    const connector = connectorOf(transport === undefined ? undefined : driverOf(transport))
    if (connector === undefined) {
      throw new StreamError(
        `RedisDedupeStore: expected a Redis transport, got ${transport?.name ?? typeof transport}: open one with openTransport('redis://…')`,
        { code: 'INVALID_ARGUMENT', transport: 'redis', operation: 'configure' },
      )
    }
    this.connector = connector
  }

  async claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]> {
    const answers = await this.#run(CLAIM_MARKS, claims, [claimMs, ...claims.map((claim) => claim.token)])
    return (answers as number[]).map((answer) =>
      answer === -2 ? 'claimed' : answer === -1 ? 'done' : { busyForMs: answer },
    )
  }

  async extend(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly boolean[]> {
    const answers = await this.#run(EXTEND_MARKS, claims, [claimMs, ...claims.map((claim) => claim.token)])
    return (answers as number[]).map((answer) => answer === 1)
  }

  async complete(claims: readonly DedupeClaim[]): Promise<readonly CompletionAnswer[]> {
    const args = claims.flatMap((claim) => [claim.token, claim.ttlMs])
    const answers = (await this.#run(COMPLETE_MARKS, claims, args)) as number[]
    return answers.map((answer) => completionAnswer(answer))
  }

  async release(claims: readonly DedupeClaim[]): Promise<void> {
    await this.#run(
      RELEASE_MARKS,
      claims,
      claims.map((claim) => claim.token),
    )
  }

  async #run(script: Script, claims: readonly DedupeClaim[], args: readonly Argument[]): Promise<unknown> {
    try {
      const connection = await this.#connected()
      return await connection.run(script, claims.map(markKey), args)
    } catch (error) {
      throw classifyError(error, 'dedupe')
    }
  }

  #connected(): Promise<Connection> {
    this.#connection ??= this.#connect()
    return this.#connection
  }

  async #connect(): Promise<Connection> {
    const forget = (): void => {
      this.#connection = undefined
    }
    try {
      const signal = AbortSignal.timeout(this.connector.settings.callTimeoutMs)
      return await this.connector.connectChecked({ role: 'dedupe', lost: forget }, signal)
    } catch (error) {
      forget()
      throw error
    }
  }
}

/** Translates a script's number. */
export function completionAnswer(answer: number): CompletionAnswer {
  if (answer === MARKED.completed) return 'completed'
  return answer === MARKED.done ? 'done' : 'busy'
}
