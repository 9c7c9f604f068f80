import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { OFFICIAL_ADAPTERS } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { centsOf, MONTHS, revenueOf } from '../src/service.js'
import type { Purchase } from '../src/shop-service.js'
import { problemsOf } from '../src/verdict.js'

const SOURCES = join(import.meta.dirname, '..', 'src')
const services = readdirSync(SOURCES).filter((file) => file.endsWith('-service.ts'))
const read = (file: string): string => readFileSync(join(SOURCES, file), 'utf8')

describe('services', () => {
  it.each(services)('%s names no transport', (file) => {
    const words = OFFICIAL_ADAPTERS.flatMap(({ name, schemes }) => [name, ...schemes])
    expect(words.filter((word) => new RegExp(`\\b${word.replaceAll('+', '\\+')}\\b`, 'i').test(read(file)))).toEqual([])
  })
})

describe('the verdict', () => {
  const options = { name: 'shop', articles: 2, year: 2026 }
  const right: Purchase = {
    prices: ['shop-0', 'shop-1'].map((article) => ({ article, cents: centsOf(article) })),
    report: Array.from({ length: MONTHS }, (_, index) => ({
      month: index + 1,
      of: MONTHS,
      cents: revenueOf(2026, index + 1),
    })),
    refusal: { code: 'PERMISSION_DENIED', message: 'card of shop declined' },
  }

  it('is empty where all is right', () => expect(problemsOf(right, options)).toEqual([]))

  it.each([
    ['prices of another', { ...right, prices: right.prices.toReversed() }],
    ['a missing price', { ...right, prices: right.prices.slice(1) }],
    ['parts out of order', { ...right, report: right.report.toReversed() }],
    ['a missing part', { ...right, report: right.report.slice(0, -1) }],
    ['a payment that went through', { ...right, refusal: undefined }],
  ])('finds %s', (_what, purchase) => expect(problemsOf(purchase, options)).not.toEqual([]))
})
