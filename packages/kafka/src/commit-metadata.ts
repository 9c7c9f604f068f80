import { historyOf, StreamError } from '@streamswitch/core/driver'

/**
 * Metadata that a member writes with each committed offset: how far it may have delivered, how often failed messages
 * were started, and whether it ended cleanly. A string of the form
 * `streamswitch/1 owner=5f2c… ahead=120 clean=0 attempts=0:2,7:1`
 * with offsets relative to the committed one. Other clients' metadata is ignored.
 */
export interface CommitMetadata {
  /** The process that wrote it. */
  readonly owner: string
  /** Offsets below this one may have been delivered. */
  readonly deliveredBelow: number
  /** Nothing was running any more when it was written. */
  readonly clean: boolean
  /** Recorded handler starts, by offset. */
  readonly attempts: ReadonlyMap<number, number>
}

const NAME = 'streamswitch/'
const VERSION = 1

/** The broker's default limit (`offset.metadata.max.bytes`). */
const MAX_BYTES = 4096

/**
 * Writes metadata for a committed offset. Attempts that don't fit are dropped, the highest offsets first; running messages
 * precede waiting ones, since the process may crash by them.
 */
export function encodeMetadata(committed: number, metadata: CommitMetadata): string {
  const head = `${NAME}${VERSION} owner=${metadata.owner} ahead=${Math.max(0, metadata.deliveredBelow - committed)} clean=${metadata.clean ? 1 : 0}`
  const entries: (readonly [number, string])[] = []
  let bytes = head.length + ' attempts='.length
  const byOffset = [...metadata.attempts]
    .sort(([left], [right]) => left - right)
    .filter(([offset]) => offset >= committed)
  const isAtWork = ([, note]: readonly [number, number]): boolean => historyOf(note).wasAtWork
  for (const [offset, attempts] of [...byOffset.filter(isAtWork), ...byOffset.filter((entry) => !isAtWork(entry))]) {
    const entry = `${offset - committed}:${attempts}`
    bytes += entry.length + 1
    if (bytes > MAX_BYTES) break
    entries.push([offset, entry])
  }
  if (entries.length === 0) return head
  const inOrder = entries.sort(([left], [right]) => left - right).map(([, entry]) => entry)
  return `${head} attempts=${inOrder.join(',')}`
}

/** Reads metadata; `undefined` when it isn't ours. Throws UNSUPPORTED for a newer version's. */
export function decodeMetadata(committed: number, text: string, topic: string): CommitMetadata | undefined {
  if (!text.startsWith(NAME)) return undefined
  const [name = '', ...parts] = text.split(' ')
  const version = Number(name.slice(NAME.length))
  if (version !== VERSION) {
    throw new StreamError(
      `the group's commits on topic '${topic}' were written in format ${name.slice(NAME.length)} by a newer version of this package; this one reads format ${VERSION}: upgrade it, or use another group`,
      { code: 'UNSUPPORTED', retryable: false, transport: 'kafka', operation: 'open', topic },
    )
  }
  const fields = new Map(parts.map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]))
  return {
    owner: fields.get('owner') ?? '',
    deliveredBelow: Math.min(committed + count(fields.get('ahead')), Number.MAX_SAFE_INTEGER),
    clean: fields.get('clean') === '1',
    attempts: readAttempts(committed, fields.get('attempts') ?? ''),
  }
}

function readAttempts(committed: number, text: string): Map<number, number> {
  const attempts = new Map<number, number>()
  for (const entry of text === '' ? [] : text.split(',')) {
    const [offset, starts] = entry.split(':')
    const at = committed + count(offset)
    if (count(starts) > 0 && Number.isSafeInteger(at)) attempts.set(at, count(starts))
  }
  return attempts
}

function count(text: string | undefined): number {
  const value = Number(text ?? 0)
  return Number.isSafeInteger(value) && value >= 0 ? value : 0
}
