import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CAPABILITY_NAMES, OFFICIAL_ADAPTERS } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'

const SOURCES = join(import.meta.dirname, '..', 'src')
const services = readdirSync(SOURCES).filter((file) => file.endsWith('-service.ts'))
const read = (file: string): string => readFileSync(join(SOURCES, file), 'utf8')

describe('services', () => {
  it('are separate source files', () => {
    expect(services).toEqual(
      expect.arrayContaining(['departures-service.ts', 'delays-service.ts', 'audit-service.ts', 'alerts-service.ts']),
    )
  })

  it.each(services)('%s names no transport', (file) => {
    const words = OFFICIAL_ADAPTERS.flatMap(({ name, schemes }) => [name, ...schemes])
    expect(words.filter((word) => new RegExp(`\\b${word.replaceAll('+', '\\+')}\\b`, 'i').test(read(file)))).toEqual([])
  })

  it.each(services)('%s branches on no capability', (file) => {
    const words = ['capabilities', 'requires', 'UNSUPPORTED', ...CAPABILITY_NAMES]
    expect(words.filter((word) => new RegExp(`\\b${word}\\b`).test(read(file)))).toEqual([])
  })

  it.each(services)('%s imports @streamswitch/core and no other package', (file) => {
    const specifiers = [...read(file).matchAll(/\bfrom '([^']+)'/g)].map(([, specifier]) => specifier ?? '')
    const packages = specifiers.filter((specifier) => !specifier.startsWith('./'))
    expect(packages.filter((specifier) => specifier !== '@streamswitch/core')).toEqual([])
  })
})
