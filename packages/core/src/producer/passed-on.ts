import { Delivery } from '../consumer/delivery.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import type { OriginalRecord } from '../contract/native-form.js'
import type { Headers, Message } from '../message.js'
import { printable } from '../printable.js'
import { NOT_CARRIED_HEADER, RESERVED_PREFIX } from '../wire/reserved-headers.js'

/** A received message that is sent on as it came, or whose key is. */
export interface PassedOn {
  readonly message: Message
  readonly part: OriginalRecord['part']
}

/** The internal option of a send that passes a message on. A symbol: no user can set it, and middleware that spreads options keeps it. */
export const PASSED_ON = Symbol('streamswitch passed-on message')

/** Longest list of what is missing, in characters. */
const MAX_LIST = 1_000

/** The message as drivers of `adapter` write it again; `undefined` where they have another format than the one it came in. */
export function originalFor(adapter: AdapterDefinition, { message, part }: PassedOn): OriginalRecord | undefined {
  if (!(message instanceof Delivery) || message.form === undefined) return undefined
  if (message.form.format !== adapter.nativeForm?.format) return undefined
  return { native: message.native, part }
}

/**
 * What of a message is lost where it is written from its portable form alone, and what was lost before.
 *
 * @param whole - it is written as it came.
 */
export function notCarriedOf(message: Message, whole: boolean): readonly string[] {
  const before = message.headers[NOT_CARRIED_HEADER]
  const lost = before === undefined ? [] : [before]
  if (whole || !(message instanceof Delivery) || message.form === undefined) return lost
  return [...lost, ...message.form.beyondPortable(message.native)]
}

/** Bytes that a message takes beside its payload and key: what counts for the size of a record that is written from it. */
export function extraBytesOf({ message }: PassedOn): number {
  return message instanceof Delivery ? message.extraBytes : 0
}

/** The headers of a message that a user could have set. */
export function usersHeaders(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(RESERVED_PREFIX)))
}

/** Whether a key's text may stand for other bytes: it holds a replacement character, or a digest. */
export function mayDifferFromBytes(key: string): boolean {
  return key.includes('\ufffd') || key.startsWith('sha256-')
}

/** The header that names what of a message the transport that it is passed to can't carry; `undefined`: it carries all. */
export function notCarriedHeader(names: readonly string[]): Headers | undefined {
  if (names.length === 0) return undefined
  return { [NOT_CARRIED_HEADER]: listOfMissing(names) }
}

/** A list as a header holds it: bounded, and on one line, since it quotes names that came from elsewhere. */
export function listOfMissing(names: readonly string[]): string {
  return printable(names.join(', ').slice(0, MAX_LIST)).slice(0, MAX_LIST).toWellFormed()
}

/** Names the headers of a message that this process left out, for lists of what is missing. */
export function leftOutHeaders(message: Message): string | undefined {
  const count = message instanceof Delivery ? message.headersLeftOut : 0
  return count === 0 ? undefined : `${count} headers beyond the limits`
}
