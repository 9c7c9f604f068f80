import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls'
import { messageOf, StreamError } from './errors.js'
import type { OptionInput, OptionValues } from './options/fields.js'
import { option } from './options/fields.js'
import { exhaustion } from './system-errors.js'

/** TLS options that every adapter with TLS includes: the same names everywhere. */
export const tlsFields = {
  /** File with the certificate authorities to trust (PEM), instead of the system's. */
  tlsCaFile: option.text({ environment: 'STREAMSWITCH_TLS_CA_FILE' }),
  /** File with this client's certificate chain (PEM), for brokers that require one. */
  tlsCertFile: option.text({ environment: 'STREAMSWITCH_TLS_CERT_FILE' }),
  /** File with the private key of `tlsCertFile` (PEM). */
  tlsKeyFile: option.text({ environment: 'STREAMSWITCH_TLS_KEY_FILE' }),
  /** Name to expect in the server's certificate, if it differs from the host. */
  tlsServerName: option.text(),
  /**
   * false` accepts any certificate: for experiments, never for production.
   * @default true
   */
  tlsVerify: option.flag({ default: true }),
}

/**
 * TLS options, as users pass them. Adapters use it in the types of their options, since docstrings of spread fields are lost
 * in published types.
 */
export type TlsOptions = OptionInput<typeof tlsFields>

/**
 * Options for Node's `tls.connect` and the client libraries.
 */
export interface TlsSettings {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Sent to the server (SNI), which may choose its certificate by it. */
  readonly servername?: string
  /** Set when the expected name is an IP address, which can't be sent. */
  readonly checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined
  readonly rejectUnauthorized: boolean
}

/**
 * Reads the files again at each connect. Rejects with INVALID_ARGUMENT naming the option whose file can't be read or is
 * incomplete, as in the middle of a replacement: Node.js treats an incomplete file of authorities as an empty one, and
 * an empty one as the system's authorities.
 *
 * @param host - the host to connect to. Its name is sent to the server (SNI) if `tlsServerName` isn't set; addresses
 *   never are (RFC 6066, section 3)
 */
export async function readTls(
  options: OptionValues<typeof tlsFields>,
  transport: string,
  host?: string,
): Promise<TlsSettings> {
  const at = { transport, operation: 'open' }
  const read = (name: 'tlsCaFile' | 'tlsCertFile' | 'tlsKeyFile') => readPem(name, options[name], at)
  const [ca, cert, key] = await Promise.all([read('tlsCaFile'), read('tlsCertFile'), read('tlsKeyFile')])
  const { tlsCertFile, tlsKeyFile } = options
  checkTogether(
    { cert, key },
    `tlsCertFile (${tlsCertFile ?? 'not set'}) and tlsKeyFile (${tlsKeyFile ?? 'not set'})`,
    at,
  )
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...namesOf(options.tlsServerName, host),
    rejectUnauthorized: options.tlsVerify,
  }
}

function namesOf(expected: string | undefined, host: string | undefined) {
  const sent = [expected, host].find((name) => name !== undefined && isIP(name) === 0)
  return {
    ...(sent === undefined ? {} : { servername: sent }),
    ...(expected === undefined || isIP(expected) === 0
      ? {}
      : { checkServerIdentity: (_: string, found: PeerCertificate) => checkServerIdentity(expected, found) }),
  }
}

/** The context in which a file is read, for errors. */
interface Place {
  readonly transport: string
  readonly operation: string
}

/**
 * Reads a PEM file. `option` is the name of the option that holds it; one that ends with `KeyFile` must contain a
 * private key, any other whole certificates. Rejects with INVALID_ARGUMENT naming both, with RESOURCE_EXHAUSTED when no
 * file can be opened.
 */
export async function readPem(name: string, file: string, place: Place): Promise<string>
export async function readPem(name: string, file: string | undefined, place: Place): Promise<string | undefined>
export async function readPem(name: string, file: string | undefined, place: Place): Promise<string | undefined> {
  if (file === undefined) return undefined
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const code = exhaustion(cause) ?? 'INVALID_ARGUMENT'
    throw new StreamError(`${name}: ${file} can't be read: ${messageOf(cause)}`, { code, ...place, cause })
  }
  const problem = name.endsWith('KeyFile') ? keyProblem(text) : certificateProblem(text)
  if (problem === undefined) return text
  throw new StreamError(`${name}: ${file} ${problem}`, { code: 'INVALID_ARGUMENT', ...place })
}

/** Throws INVALID_ARGUMENT when a certificate and a private key don't match, or one of them is missing. */
export function checkTogether(
  { cert, key }: { readonly cert?: string | undefined; readonly key?: string | undefined },
  names: string,
  place: Place,
): void {
  if (cert === undefined && key === undefined) return
  try {
    if (cert === undefined || key === undefined) throw new Error('each requires the other')
    createSecureContext({ cert, key })
  } catch (cause) {
    const message = `${names} can't be used together: ${messageOf(cause)}`
    throw new StreamError(message, { code: 'INVALID_ARGUMENT', ...place, cause })
  }
}

const BEGIN_CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g
const CERTIFICATE = /-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----[^-]*-----END \1?CERTIFICATE-----/g
const KEY = /-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----[^-]*-----END \1-----/

function certificateProblem(text: string): string | undefined {
  const begun = text.match(BEGIN_CERTIFICATE)?.length ?? 0
  if (begun === 0) return text.trim() === '' ? 'is empty' : 'contains no certificate in PEM format'
  const whole = [...text.matchAll(CERTIFICATE)]
  if (whole.length < begun) return 'contains an incomplete certificate'
  for (const [index, [pem, kind]] of whole.entries()) {
    if (kind?.startsWith('TRUSTED') === true) continue
    try {
      new X509Certificate(pem)
    } catch (cause) {
      return `contains a certificate that can't be decoded (number ${index + 1}): ${messageOf(cause)}`
    }
  }
  return undefined
}

function keyProblem(text: string): string | undefined {
  if (text.trim() === '') return 'is empty'
  return KEY.test(text) ? undefined : 'contains no complete private key in PEM format'
}
