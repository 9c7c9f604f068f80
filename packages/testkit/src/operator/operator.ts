import type { BrokerHandle, BrokerName, StartBrokerOptions } from '../brokers/index.js'

/** Conformance cases that a policy contradicts, and so can't pass under it. */
export interface Contradiction {
  /** The title of a case or of a group of cases, as `slow handlers > a handler of * ms`; a star stands for anything. */
  readonly cases: string
  readonly reason: string
}

/** The load of the ledger run; what is left out has its default. */
export interface OperatorLoad {
  /** Messages that are sent. Default 120. */
  readonly messages?: number
  /** Bytes of each payload. Default 100. */
  readonly bytes?: number
  /** How long nobody receives after the first members have left, in milliseconds. Default 0. */
  readonly idleMs?: number
}

/** What somebody who runs a broker for others does to it, without asking them. */
export interface Operator {
  /** Unique among the operators of a broker. */
  readonly name: string
  readonly broker: BrokerName
  /** Lines of the broker's configuration. */
  readonly config?: readonly string[]
  /** As `config`, where the configuration has to name ports. */
  prepare?(): Promise<Pick<StartBrokerOptions, 'port' | 'ports' | 'config'>>
  /** The address at which the ledger is kept. Default: the broker's own. */
  url?(broker: BrokerHandle): string
  /** Transports whose queues or topics it concerns. */
  readonly transports: readonly string[]
  /** Done once, when the broker runs and before anybody uses it. */
  apply?(broker: BrokerHandle): Promise<void>
  /**
   * What of it is not in force, by the broker's own means of management, as texts; `topic` is a part of the names of all queues of the
   * case. Empty: all is in force. Throws where the case has no queues yet.
   */
  notInForce(broker: BrokerHandle, topic: string): Promise<readonly string[]>
  /** Done while messages flow; `topic` as for `notInForce`. Resolves when what was done has been undone. */
  disturb?(broker: BrokerHandle, topic: string): Promise<void>
  /** Messages may be removed before they were handled: the ledger needs to know where each of them was. Default: none are. */
  readonly removes?: boolean
  readonly load?: OperatorLoad
  /**
   * Why confirmed messages may be lost without a report: a limit that no client can lift, and that the transport's page names. Undefined:
   * none may be lost.
   */
  readonly lossIsDocumented?: string
  readonly contradicts: readonly Contradiction[]
}

/** The cases that build a backlog longer than the limit of `max-length`. */
export const BACKLOG: readonly Contradiction[] = [
  'concurrent publishers and subscribers',
  'many topics',
  'topics by pattern',
  'groups',
  'closing loops',
  'closing producers',
  'history',
  'batch send',
  'batch handlers',
  'slow handlers',
  'middleware',
  'requests and replies',
  'redelivery',
  'order per key',
].map((cases) => ({ cases: `${cases} > *`, reason: 'keeps more messages waiting than the policy allows' }))
