import { isStreamError, type Transport } from '@streamswitch/core'
import { type Payment, type Price, type PriceRequest, type ReportPart, type ReportRequest, TOPICS } from './service.js'

/** What a shop has learned. */
export interface Purchase {
  readonly prices: readonly Price[]
  readonly report: readonly ReportPart[]
  /** Code and message of the declined payment; `undefined` where it went through. */
  readonly refusal: { readonly code: string; readonly message: string } | undefined
}

export interface ShopOptions {
  /** Tells this shop's questions from those of others. */
  readonly name: string
  readonly articles: number
  readonly year: number
  /** Told of each part of the report, as it comes. */
  readonly onPart?: (part: ReportPart) => void
}

/** Asks many prices at once, one report, and pays with a card that is declined. */
export async function goShopping(transport: Transport, options: ShopOptions): Promise<Purchase> {
  const prices = transport.producer<PriceRequest>(TOPICS.prices)
  const reports = transport.producer<ReportRequest>(TOPICS.reports)
  const payments = transport.producer<Payment>(TOPICS.payments)

  const asked = Array.from({ length: options.articles }, async (_, number) => {
    const reply = prices.request<Price>({ article: `${options.name}-${number}` })
    return reply.read()
  })
  const answered = (await Promise.all(asked)).filter((price) => price !== undefined)

  const report: ReportPart[] = []
  for await (const part of reports.request<ReportPart>({ year: options.year })) {
    report.push(part)
    options.onPart?.(part)
  }

  const refusal = await payments
    .request({ card: `card of ${options.name}`, cents: 100 })
    .read()
    .then(
      () => undefined,
      (error: unknown) => {
        if (isStreamError(error)) return { code: error.code, message: error.message }
        throw error
      },
    )
  return { prices: answered, report, refusal }
}
