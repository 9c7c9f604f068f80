import { centsOf, MONTHS, revenueOf } from './service.js'
import type { Purchase, ShopOptions } from './shop-service.js'

/** What is wrong with what a shop was told; empty where all is as it must be. */
export function problemsOf({ prices, report, refusal }: Purchase, { name, articles, year }: ShopOptions): string[] {
  const problems: string[] = []
  if (prices.length !== articles) problems.push(`${prices.length} prices, not ${articles}`)
  for (const [number, price] of prices.entries()) {
    const article = `${name}-${number}`
    if (price.article !== article || price.cents !== centsOf(article))
      problems.push(`the price of ${article} is that of ${price.article}: ${price.cents}`)
  }
  const months = report.map(({ month }) => month).join(' ')
  const expected = Array.from({ length: MONTHS }, (_, index) => index + 1).join(' ')
  if (months !== expected) problems.push(`the report has the months ${months}, not ${expected}`)
  for (const { month, cents } of report)
    if (cents !== revenueOf(year, month)) problems.push(`month ${month} of ${year} has ${cents}`)
  if (refusal?.code !== 'PERMISSION_DENIED' || !refusal.message.includes(`card of ${name} declined`))
    problems.push(
      `the payment was not declined as it must be: ${refusal === undefined ? 'it went through' : `${refusal.code} ${refusal.message}`}`,
    )
  return problems.map((problem) => `${name}: ${problem}`)
}
