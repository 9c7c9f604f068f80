import { isIP } from 'node:net'
import { type OptionField, type Problems, type Secret, secretOption } from '@streamswitch/core/driver'
import type { Authorize } from './server/authorization.js'

/** Tokens by the names of those who show them; several of one name are valid at the same time. */
export type NamedTokens = Readonly<Record<string, Secret | readonly Secret[]>>

/** What the token of `listenToken` is called. */
export const DEFAULT_TOKEN_NAME = 'default'

/** Ranges of addresses that have a name. */
const NAMED_RANGES: readonly string[] = ['loopback', 'linklocal', 'uniquelocal']

const TOKENS_KIND = 'object or JSON: name -> token, { file }, function, or a list of them'

/** The `listenTokens` option. */
export function listenTokensOption(settings: { readonly environment: string }): OptionField<NamedTokens | undefined> {
  return {
    kind: TOKENS_KIND,
    defaultValue: undefined,
    environment: settings.environment,
    secret: true,
    parse: checkTokens,
  }
}

function checkTokens(raw: unknown, path: string, problems: Problems): NamedTokens | undefined {
  const source = typeof raw === 'string' ? parsed(raw) : raw
  if (!isObject(source) || Object.keys(source).length === 0) {
    problems.add(path, `must be an ${TOKENS_KIND}, with at least one name`)
    return undefined
  }
  const tokens: [string, readonly Secret[]][] = []
  for (const [name, given] of Object.entries(source)) {
    // Names reach logs and the user's own tables.
    if (!/^[A-Za-z0-9][\w.:@-]{0,99}$/.test(name)) {
      problems.add(
        path,
        "a token's name must begin with a letter or digit and have at most 100 of A-Z a-z 0-9 . _ : @ -",
      )
      continue
    }
    const list: readonly unknown[] = Array.isArray(given) ? given : [given]
    if (list.length === 0) problems.add(`${path}.${name}`, 'must have at least one token')
    const secrets = list.map((one, index) => {
      const at = Array.isArray(given) ? `${path}.${name}[${index}]` : `${path}.${name}`
      return secretOption().parse(one, at, problems)
    })
    tokens.push([name, secrets.filter((one) => one !== undefined)])
  }
  return Object.fromEntries(tokens)
}

/** What the `allowedOrigins` option accepts; returns what it must be where it isn't. */
export function checkOrigins(raw: unknown): { readonly value: readonly string[] } | string {
  const expected =
    "must be a list of origins such as 'https://app.example': scheme, host and port, no path, no '*' and no 'null' (http.allowBrowsers of a loop accepts requests of any page)"
  const list = listOf(raw)
  const origins = list?.map(originOf)
  if (origins === undefined || origins.includes(undefined)) return expected
  return { value: origins as readonly string[] }
}

/** What the `allowedHosts` option accepts; returns what it must be where it isn't. */
export function checkHosts(raw: unknown): { readonly value: readonly string[] } | string {
  const expected =
    "must be a list of hosts such as 'billing.internal', 'billing.internal:8080', '[::1]' or '*.example.org', or '*' for any"
  const list = listOf(raw)
  const hosts = list?.map((host) => (isHostPattern(host) ? host.toLowerCase() : undefined))
  if (hosts === undefined || hosts.includes(undefined)) return expected
  return { value: hosts as readonly string[] }
}

/** What the `trustedProxies` option accepts; returns what it must be where it isn't. */
export function checkProxies(raw: unknown): { readonly value: readonly string[] } | string {
  const expected =
    "must be a list of IP addresses and ranges such as '10.0.0.7', '10.0.0.0/8', 'fd00::/8', 'loopback', 'linklocal' or 'uniquelocal'"
  const list = listOf(raw)
  return list?.every((one) => NAMED_RANGES.includes(one) || isRange(one)) === true ? { value: list } : expected
}

/** What the `authorize` option accepts; returns what it must be where it isn't. */
export function checkAuthorize(raw: unknown): { readonly value: Authorize } | string {
  return typeof raw === 'function'
    ? { value: raw as Authorize }
    : 'must be a function (request, { topic, group }) => boolean'
}

/** Texts, none of them empty; in a URL or variable separated by commas. */
function listOf(raw: unknown): readonly string[] | undefined {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((part) => part.trim()) : raw
  if (!Array.isArray(list) || list.length === 0) return undefined
  return list.every((part) => typeof part === 'string' && part !== '') ? (list as string[]) : undefined
}

function originOf(given: string): string | undefined {
  if (!/^https?:\/\/[^/?#@*\\\s]+\/?$/i.test(given) || !URL.canParse(given)) return undefined
  return new URL(given).origin
}

function isHostPattern(host: string): boolean {
  if (host === '*') return true
  const [, address, name] =
    /^(?:\[([^\]]*)\]|(?:\*\.)?([A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?))(?::\d{1,5})?$/.exec(host) ?? []
  return address === undefined ? name !== undefined : isIP(address) === 6
}

function isRange(given: string): boolean {
  const [address = '', bits, ...more] = given.split('/')
  const version = isIP(address)
  if (version === 0 || more.length > 0) return false
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= (version === 4 ? 32 : 128))
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
