import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { OUTCOMES_TYPE } from '../wire/batch-frames.js'
import { type OutcomeLine, PROBLEM_TYPE, type Problem, type Reader, shownTo } from '../wire/problem.js'

/** Answers a request with a problem. */
export function sendProblem(reply: FastifyReply, problem: Problem, reader: Reader = 'anybody'): void {
  if (problem.retryAfterMs !== undefined) reply.header('retry-after', retryAfterSeconds(problem.retryAfterMs))
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  // As bytes: to a text, fastify would add a charset, which this media type doesn't have.
  reply
    .code(problem.status)
    .header('content-type', PROBLEM_TYPE)
    .send(Buffer.from(JSON.stringify(shownTo(reader, problem))))
}

/** Whole seconds, as Retry-After counts, never less than was meant. */
function retryAfterSeconds(retryAfterMs: number): string {
  return String(Math.ceil(retryAfterMs / 1000))
}

/** The response to a batch: outcomes go out line by line, as they come, those of one turn of the event loop together. */
export class OutcomeStream {
  readonly #response: ServerResponse
  readonly #reader: Reader
  #left: number
  #accepted: number[] = []
  #lines = ''
  #scheduled = false

  constructor(response: ServerResponse, total: number, reader: Reader) {
    this.#response = response
    this.#reader = reader
    this.#left = total
  }

  accept(index: number): void {
    this.#accepted.push(index)
    this.#count()
  }

  refuse(index: number, problem: Problem): void {
    this.#lines += toLine({ index, ...shownTo(this.#reader, problem) })
    this.#count()
  }

  #count(): void {
    this.#left -= 1
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const response = this.#response
    // No request is pending any more: a late outcome is useless.
    if (response.destroyed) return
    const accepted = this.#accepted
    this.#accepted = []
    const text = accepted.length === 0 ? this.#lines : toLine({ accepted }) + this.#lines
    this.#lines = ''
    if (this.#left > 0) {
      if (!response.headersSent) response.writeHead(200, { 'content-type': OUTCOMES_TYPE })
      response.write(text)
      return
    }
    if (!response.headersSent)
      response.writeHead(200, { 'content-type': OUTCOMES_TYPE, 'content-length': Buffer.byteLength(text) })
    response.end(text)
  }
}

function toLine(line: OutcomeLine): string {
  return `${JSON.stringify(line)}\n`
}
