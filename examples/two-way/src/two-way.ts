import { randomBytes } from 'node:crypto'
import { deadLetterTopic, type Logger, openTransport, type Transport } from '@streamswitch/core'
import { runCallers } from './callers.js'
import { startPayments } from './payments-service.js'
import { startPrices } from './prices-service.js'
import { startReports } from './reports-service.js'
import { type ReportPart, TOPICS } from './service.js'
import { goShopping, type ShopOptions } from './shop-service.js'
import { problemsOf } from './verdict.js'

const ARTICLES = 200

/** Declined cards are no news here. */
const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (message) => (message.includes('declined') ? undefined : void process.stderr.write(`${message}\n`)),
  error: (message) => (message.includes('declined') ? undefined : void process.stderr.write(`${message}\n`)),
}

export interface RunOptions {
  /** Where requests travel. */
  readonly url: string
  /** Where replies travel; `undefined`: the same way. */
  readonly feedbackUrl?: string | undefined
  /** Shops in processes of their own; 0: one shop in this process. */
  readonly callers: number
  readonly onStart?: (main: string, feedback: string) => void
  readonly onPart?: (part: ReportPart) => void
}

export function shopOptions(name: string): ShopOptions {
  return { name, articles: ARTICLES, year: 2026 }
}

/** Starts the services that answer, lets shops ask, and checks every answer. Resolves with what was wrong. */
export async function runTwoWay(options: RunOptions): Promise<string[]> {
  const prefix = `${process.env.STREAMSWITCH_PREFIX ?? ''}two-way-${randomBytes(4).toString('hex')}.`
  const settings = {
    options: { prefix },
    logger,
    ...(options.feedbackUrl === undefined ? {} : { feedback: options.feedbackUrl }),
    ...(options.callers > 0 ? { requires: ['multiProcess' as const] } : {}),
  }
  const transport = await openTransport(options.url, settings)
  try {
    options.onStart?.(transport.name, transport.feedback.name)
    const services = await Promise.all([startPrices(transport), startReports(transport), startPayments(transport)])
    const work = options.callers > 0 ? inProcesses(options, prefix) : inThisProcess(transport, options)
    // A service that fails ends the run: its `ended` rejects.
    const failure = Promise.race(services.map(({ ended }) => ended.then(() => new Promise<never>(() => {}))))
    return await Promise.race([work, failure])
  } finally {
    await transport.close()
    await using cleaner = await openTransport(options.url, settings)
    await deleteTopics(cleaner)
  }
}

async function inThisProcess(transport: Transport, { onPart }: RunOptions): Promise<string[]> {
  const options = shopOptions('shop')
  return problemsOf(await goShopping(transport, { ...options, ...(onPart === undefined ? {} : { onPart }) }), options)
}

function inProcesses({ url, feedbackUrl, callers }: RunOptions, prefix: string): Promise<string[]> {
  return runCallers(callers, {
    ...process.env,
    STREAMSWITCH_URL: url,
    STREAMSWITCH_FEEDBACK_URL: feedbackUrl ?? '',
    STREAMSWITCH_PREFIX: prefix,
  })
}

async function deleteTopics(transport: Transport): Promise<void> {
  const { feedback } = transport
  for (const topic of Object.values(TOPICS)) await transport.admin.deleteTopic(transport.topicSpec(topic))
  await transport.admin.deleteTopic(transport.topicSpec(deadLetterTopic(TOPICS.payments, 'bank')))
  await feedback.admin.deleteTopic(feedback.topicSpec('streamswitch-replies'))
}
