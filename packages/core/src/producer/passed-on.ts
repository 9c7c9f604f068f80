import { Delivery } from '../consumer/delivery.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import type { OriginalRecord } from '../contract/native-form.js'
import type { Headers, Message } from '../message.js'
import { printable } from '../printable.js'
import { NOT_CARRIED_HEADER, RESERVED_PREFIX } from '../wire/reserved-headers.js'

/** A received message that is forwarded unchanged, or only its key. */
export interface PassedOn {
  readonly message: Message
  readonly part: OriginalRecord['part']
}

/**
 * The internal option of a send that forwards a message. A symbol: no user can set it, and middleware that spreads
 * options keeps it.
 */
export const PASSED_ON = Symbol('streamswitch passed-on message')

/** Maximum length of the list of what is missing, in characters. */
const MAX_LIST = 1_000

/**
 * Returns the message as drivers of `adapter` write it again; `undefined` when they have another format than the one it
 * was received in.
 */
export function originalFor(adapter: AdapterDefinition, { message, part }: PassedOn): OriginalRecord | undefined {
  if (!(message instanceof Delivery) || message.form === undefined) return undefined
  if (message.form.format !== adapter.nativeForm?.format) return undefined
  return { native: message.native, part }
}

/**
 * Returns what of a message is lost when it is written from its portable form, and what was lost before.
 *
 * @param whole - it is written unchanged.
 */
export function notCarriedOf(message: Message, whole: boolean): readonly string[] {
  const before = message.headers[NOT_CARRIED_HEADER]
  const lost = before === undefined ? [] : [before]
  if (whole || !(message instanceof Delivery) || message.form === undefined) return lost
  return [...lost, ...message.form.beyondPortable(message.native)]
}

/** Returns the size of a message beside its payload and key: part of the size of a record written from it. */
export function extraBytesOf({ message }: PassedOn): number {
  return message instanceof Delivery ? message.extraBytes : 0
}

/** Returns the headers of a message that a user could have set. */
export function usersHeaders(headers: Headers): Headers {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(RESERVED_PREFIX)))
}

/** Returns whether a key's string may stand for other bytes: it contains a replacement character, or a digest. */
export function mayDifferFromBytes(key: string): boolean {
  return key.includes('\ufffd') || key.startsWith('sha256-')
}

/**
 * Returns the header that names what of a message the target transport can't carry; `undefined`: it carries everything.
 */
export function notCarriedHeader(names: readonly string[]): Headers | undefined {
  if (names.length === 0) return undefined
  return { [NOT_CARRIED_HEADER]: listOfMissing(names) }
}

/** Formats a list for a header: bounded, and on one line, since it quotes external names. */
export function listOfMissing(names: readonly string[]): string {
  return printable(names.join(', ').slice(0, MAX_LIST)).slice(0, MAX_LIST).toWellFormed()
}

/** Describes the headers of a message that this process dropped, for lists of what is missing. */
export function leftOutHeaders(message: Message): string | undefined {
  const count = message instanceof Delivery ? message.headersLeftOut : 0
  return count === 0 ? undefined : `${count} headers beyond the limits`
}
