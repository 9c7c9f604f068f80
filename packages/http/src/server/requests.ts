import { isStreamError } from '@streamswitch/core/driver'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { fromRequest, type InboundRecord } from '../message.js'
import { BATCH_TYPE, BATCH_TYPE_FAMILY, decodeBatch } from '../wire/batch-frames.js'
import { decodeBody, encodingsOf } from '../wire/content-encoding.js'
import type { ForeignHeaders } from '../wire/foreign-headers.js'
import { checkLimit, countParts, MAX_HEADERS } from '../wire/limits.js'
import { type Problem, problems, type Reader } from '../wire/problem.js'
import type { Access, Sender } from './access.js'
import { OutcomeStream, sendProblem } from './answers.js'
import { isLocal } from './client-address.js'
import { Gathering, toProblem } from './gathering.js'
import type { GroupInbox } from './group-inbox.js'
import type { Destination, Hub } from './hub.js'
import { exchangeOf, noteRequest } from './reply-exchanges.js'
import { withoutEmptySegments } from './request-target.js'
import { asSentBy } from './sender-rights.js'
import { inSlices } from './slices.js'

const EMPTY = Buffer.alloc(0)

/** What of a server's settings is needed here. */
export interface RequestLimits {
  readonly maxPayloadBytes: number
  readonly maxRequestBytes: number
  readonly foreignHeaders: ForeignHeaders
  readonly access: Pick<Access, 'senderOf' | 'authorize' | 'isClosed' | 'decides'>
}

/** A message, or a batch of them, for a topic or one group of it. */
export function handlePost(hub: Hub, limits: RequestLimits, request: FastifyRequest, reply: FastifyReply): void {
  whenDiscovered(hub, limits, request, reply, () => takePost(hub, limits, request, reply))
}

function takePost(hub: Hub, limits: RequestLimits, request: FastifyRequest, reply: FastifyReply): void {
  const destination = findDestination(hub, limits, request, reply)
  if (destination === undefined) return
  const body = Buffer.isBuffer(request.body) ? request.body : EMPTY
  // Others were refused before the body was read.
  const encodings = encodingsOf(request.headers['content-encoding']) ?? []
  if (encodings.length === 0) return takeBody(destination, limits, body, request, reply)
  const limit = isBatch(request) ? limits.maxRequestBytes : limits.maxPayloadBytes
  whenDecoded(decodeBody(body, encodings, limit), reply, (decoded) => {
    // While it was decoded.
    if (!reply.raw.destroyed) takeBody(destination, limits, decoded, request, reply)
  })
}

/** What can't be decoded is answered as that. */
function whenDecoded<Decoded>(
  decoding: Promise<Decoded>,
  reply: FastifyReply,
  proceed: (decoded: Decoded) => void,
): void {
  decoding.then(proceed, (error: unknown) => sendProblem(reply, unreadable(error))).catch(() => reply.raw.destroy())
}

function takeBody(
  destination: Destination,
  limits: RequestLimits,
  body: Buffer,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  try {
    if (!isBatch(request)) {
      const record = recordOf(request, body, limits)
      return answerOne(destination, limits, record, request, reply)
    }
    if (mediaType(contentTypeOf(request)) !== BATCH_TYPE) return sendProblem(reply, problems.unknownBatch(BATCH_TYPE))
    takeBatch(destination, limits, body, request, reply)
  } catch (error) {
    sendProblem(reply, unreadable(error))
  }
}

function recordOf(request: FastifyRequest, body: Buffer, { foreignHeaders, access }: RequestLimits): InboundRecord {
  return asSentBy(fromRequest(request.headers, body, foreignHeaders), access.senderOf(request))
}

function isBatch(request: FastifyRequest): boolean {
  return contentTypeOf(request).startsWith(BATCH_TYPE_FAMILY)
}

function contentTypeOf(request: FastifyRequest): string {
  return String(request.headers['content-type'] ?? '')
}

function takeBatch(
  destination: Destination,
  limits: RequestLimits,
  body: Buffer,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const records: InboundRecord[] = []
  const decoding = inSlices(decodeInto(records, body, limits.access.senderOf(request)))
  if (decoding === undefined) return answerBatch(destination, limits, records, request, reply)
  whenDecoded(decoding, reply, () => answerBatch(destination, limits, records, request, reply))
}

function* decodeInto(records: InboundRecord[], body: Buffer, sender: Sender): Generator<void, void, undefined> {
  for (const record of decodeBatch(body)) yield void records.push(asSentBy(record, sender))
}

function unreadable(error: unknown): Problem {
  if (!isStreamError(error)) return problems.malformed('it could not be read')
  return error.code === 'TOO_LARGE' ? problems.overLimit(error.message) : problems.malformed(error.message)
}

/** A message whose payload is the JSON object of the query parameters, for loops that take GET. */
export function handleGet(hub: Hub, limits: RequestLimits, request: FastifyRequest, reply: FastifyReply): void {
  whenDiscovered(hub, limits, request, reply, () => takeGet(hub, limits, request, reply))
}

/** A topic that a loop by pattern takes is joined before its first message is looked at. */
function whenDiscovered(
  hub: Hub,
  { access }: RequestLimits,
  request: FastifyRequest,
  reply: FastifyReply,
  take: () => void,
): void {
  // Groups that have joined since the request began were not asked about.
  const proceed = (problem: Problem | undefined): void => (problem === undefined ? take() : sendProblem(reply, problem))
  const judge = (): void => {
    const problem = access.authorize(request)
    if (problem instanceof Promise) problem.then(proceed, () => sendProblem(reply, problems.internal()))
    else proceed(problem)
  }
  const joining = hub.discover(pathOf(request))
  if (joining === undefined) return judge()
  joining.then(judge, () => sendProblem(reply, problems.closing()))
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? ''
}

function takeGet(hub: Hub, limits: RequestLimits, request: FastifyRequest, reply: FastifyReply): void {
  const destination = findDestination(hub, limits, request, reply)
  if (destination === undefined) return
  if (!destination.inboxes.every((inbox) => inbox.members.some((member) => member.takesGet))) {
    reply.header('allow', 'POST')
    return sendProblem(reply, problems.wrongMethod('POST'))
  }
  try {
    checkLimit(countParts(request.url, '&'), MAX_HEADERS, 'the query has too many parameters')
    const query = new URL(request.url, 'http://localhost').searchParams
    const isTombstone = request.headers['streamswitch-tombstone'] === '1' && query.size === 0
    const body = isTombstone ? EMPTY : Buffer.from(JSON.stringify(Object.fromEntries(query)))
    const record = recordOf(request, body, limits)
    answerOne(destination, limits, record, request, reply)
  } catch (error) {
    sendProblem(reply, unreadable(error))
  }
}

function findDestination(
  hub: Hub,
  limits: RequestLimits,
  request: FastifyRequest,
  reply: FastifyReply,
): Destination | undefined {
  const path = pathOf(request)
  const destination = hub.find(path)
  if (destination !== undefined && destination.inboxes.length > 0) return destination
  const meant = withoutEmptySegments(path)
  // An existing path of the same segments: what the caller could find out by asking for it.
  if (meant !== path && (hub.find(meant)?.inboxes.length ?? 0) > 0) sendProblem(reply, problems.otherPath(meant))
  else {
    const paths = maySeePaths(limits, request) ? hub.paths() : undefined
    if (destination === undefined || path.endsWith('/') || path.startsWith('//'))
      sendProblem(reply, problems.noSuchPath(paths))
    else sendProblem(reply, problems.noSuchGroup(destination.topic, destination.group, paths))
  }
  return undefined
}

/** Callers who have proved themselves, and this machine's own processes. */
function isTrusted({ access }: RequestLimits, request: FastifyRequest): boolean {
  return access.isClosed || isLocal(request)
}

/** The names of topics and groups are for those who may send to all of them. */
function maySeePaths(limits: RequestLimits, request: FastifyRequest): boolean {
  return !limits.access.decides && isTrusted(limits, request)
}

function readerOf(limits: RequestLimits, request: FastifyRequest): Reader {
  return isTrusted(limits, request) ? 'authenticated' : 'anybody'
}

function answerOne(
  destination: Destination,
  limits: RequestLimits,
  record: InboundRecord,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  if (isTooLarge(record, limits)) return sendProblem(reply, problems.tooLarge(limits.maxPayloadBytes, 'payload'))
  noteRequest(request.raw.socket)
  const exchange = exchangeOf(record, request.headers.accept, reply)
  if (exchange === 'lost') return sendProblem(reply, problems.replyLost())
  // All of it is being sent once more.
  if (exchange?.isOver === true) return
  const gathering = new Gathering([exchange?.record ?? record], (_index, refused) => {
    if (exchange?.finish() === true) return
    const reader = exchange === undefined ? readerOf(limits, request) : 'requester'
    if (refused.size > 0) sendProblem(reply, toProblem(refused, record, groupsToTell(destination)), reader)
    else reply.code(204).send()
  })
  inSlices(gathering.start(destination.inboxes))?.catch(() => reply.raw.destroy())
}

function answerBatch(
  destination: Destination,
  limits: RequestLimits,
  records: readonly InboundRecord[],
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  // While it was decoded.
  if (reply.raw.destroyed) return
  reply.hijack()
  const stream = new OutcomeStream(reply.raw, records.length, readerOf(limits, request))
  const fitting: InboundRecord[] = []
  const positions: number[] = []
  const tooLarge = new Set<string>()
  for (const [index, record] of records.entries()) {
    if (isTooLarge(record, limits)) {
      stream.refuse(index, problems.tooLarge(limits.maxPayloadBytes, 'payload'))
      if (record.key !== undefined) tooLarge.add(record.key)
    } else if (record.key !== undefined && tooLarge.has(record.key)) stream.refuse(index, problems.predecessorFailed())
    else {
      fitting.push(record)
      positions.push(index)
    }
  }
  const gathering = new Gathering(fitting, (at, refused) => {
    const index = positions[at] as number
    if (refused.size === 0) stream.accept(index)
    else stream.refuse(index, toProblem(refused, fitting[at] as InboundRecord, groupsToTell(destination)))
  })
  reply.raw.once('close', () => gathering.abandon())
  inSlices(gathering.start(destination.inboxes))?.catch(() => reply.raw.destroy())
}

/** The outcome in each group is reported if the request was for all of them. */
function groupsToTell({ group, inboxes }: Destination): readonly GroupInbox[] | undefined {
  return group === undefined ? inboxes : undefined
}

function isTooLarge(record: InboundRecord, limits: RequestLimits): boolean {
  return (record.payload?.length ?? 0) > limits.maxPayloadBytes
}

function mediaType(contentType: string): string {
  return (contentType.split(';', 1)[0] ?? '').trim().toLowerCase()
}
