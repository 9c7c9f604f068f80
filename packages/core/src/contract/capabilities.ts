/**
 * Which guarantees a transport provides, as data: selects the conformance cases, decides what `requires` accepts, and
 * is the source of the capability matrix in the documentation.
 *
 * - `true`: supported. `false`: unsupported, and requesting it is refused before any I/O.
 * - a string: supported under the condition that it states (checked when the transport is opened).
 */
export type CapabilityValue = boolean | string

export interface Capabilities {
  /** Every group receives every message. */
  readonly groups: CapabilityValue
  /** Members of one group share the messages. */
  readonly competingMembers: CapabilityValue
  /** Messages of one key are handled in the order in which they were sent, across all members of a group. */
  readonly keyOrder: CapabilityValue
  /** Confirmed messages survive the death of the broker's process. */
  readonly durable: CapabilityValue
  /** `from`, `seek` and history for late readers. */
  readonly replay: CapabilityValue
  /** Messages sent while no group exists are kept for groups created later. */
  readonly retainsWithoutGroup: CapabilityValue
  /** `assigned` and `revoked` events per partition. */
  readonly assignments: CapabilityValue
  /** `ack: 'manual'`. */
  readonly manualAck: CapabilityValue
  /** Messages whose attempts are used up are written to the group's dead-letter topic. */
  readonly deadLetters: CapabilityValue
  /** message.attempt` continues to count after the consuming process was killed. */
  readonly attemptsSurviveRestart: CapabilityValue
  /** The broker drops a resend that it has already stored (`publisherName` and `sequence`). */
  readonly publishDedupe: CapabilityValue
  /** lag()` returns how many messages a group has not finished. */
  readonly lag: CapabilityValue
  /** Requests with one or more replies. */
  readonly requestReply: CapabilityValue
  /** Sender and receiver may be different processes. */
  readonly multiProcess: CapabilityValue
}

export type CapabilityName = keyof Capabilities

export const CAPABILITY_NAMES: readonly CapabilityName[] = [
  'groups',
  'competingMembers',
  'keyOrder',
  'durable',
  'replay',
  'retainsWithoutGroup',
  'assignments',
  'manualAck',
  'deadLetters',
  'attemptsSurviveRestart',
  'publishDedupe',
  'lag',
  'requestReply',
  'multiProcess',
]
