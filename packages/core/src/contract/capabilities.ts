/**
 * What a transport can keep of the promises, as data: it picks the conformance cases, decides what `requires` accepts, and the
 * matrix in the documentation is generated from it.
 *
 * - `true`: yes. `false`: no, and asking for it is refused before any I/O.
 * - a text: yes, under the condition that the text states (checked when the transport is opened).
 */
export type CapabilityValue = boolean | string

export interface Capabilities {
  /** Groups each get every message. */
  readonly groups: CapabilityValue
  /** Members of one group share the messages. */
  readonly competingMembers: CapabilityValue
  /** Messages of one key are handled in the order of sending across all members of a group. */
  readonly keyOrder: CapabilityValue
  /** What was confirmed survives the death of the broker's process. */
  readonly durable: CapabilityValue
  /** `from`, `seek` and history for late readers. */
  readonly replay: CapabilityValue
  /** Messages sent while no group exists are kept for the groups that come. */
  readonly retainsWithoutGroup: CapabilityValue
  /** `assigned` and `revoked` events per partition. */
  readonly assignments: CapabilityValue
  /** `ack: 'manual'`. */
  readonly manualAck: CapabilityValue
  /** Messages whose attempts are used up go to the group's dead-letter topic. */
  readonly deadLetters: CapabilityValue
  /** `message.attempt` goes on counting after the consuming process was killed. */
  readonly attemptsSurviveRestart: CapabilityValue
  /** The broker drops a resend that it has stored already (`publisherName` and `sequence`). */
  readonly publishDedupe: CapabilityValue
  /** `lag()` tells how many messages a group has not finished. */
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
