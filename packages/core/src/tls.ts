import { readFile } from 'node:fs/promises'
import { messageOf, StreamError } from './errors.js'
import type { OptionValues } from './options/fields.js'
import { option } from './options/fields.js'
import { exhaustion } from './system-errors.js'

/** TLS options that every adapter with TLS spreads into its own: the same names everywhere. */
export const tlsFields = {
  /** File with the certificate authorities to trust (PEM), instead of the system's. */
  tlsCaFile: option.text({ environment: 'STREAMSWITCH_TLS_CA_FILE' }),
  /** File with this client's certificate chain (PEM), for brokers that ask for one. */
  tlsCertFile: option.text({ environment: 'STREAMSWITCH_TLS_CERT_FILE' }),
  /** File with the private key of `tlsCertFile` (PEM). */
  tlsKeyFile: option.text({ environment: 'STREAMSWITCH_TLS_KEY_FILE' }),
  /** Name to expect in the server's certificate, where it differs from the host. */
  tlsServerName: option.text(),
  /** `false` accepts any certificate: for experiments, never for production. */
  tlsVerify: option.flag({ default: true }),
}

/** What Node's `tls.connect` and the client libraries take. */
export interface TlsSettings {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

/** Reads the files, anew at each connect. Rejects with INVALID_ARGUMENT naming the option whose file can't be read. */
export async function readTls(options: OptionValues<typeof tlsFields>, transport: string): Promise<TlsSettings> {
  const read = async (name: 'tlsCaFile' | 'tlsCertFile' | 'tlsKeyFile'): Promise<string | undefined> => {
    const file = options[name]
    if (file === undefined) return undefined
    try {
      return await readFile(file, 'utf8')
    } catch (cause) {
      throw new StreamError(`${name}: ${file} can't be read: ${messageOf(cause)}`, {
        code: exhaustion(cause) ?? 'INVALID_ARGUMENT',
        transport,
        operation: 'open',
        cause,
      })
    }
  }
  const [ca, cert, key] = await Promise.all([read('tlsCaFile'), read('tlsCertFile'), read('tlsKeyFile')])
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(options.tlsServerName === undefined ? {} : { servername: options.tlsServerName }),
    rejectUnauthorized: options.tlsVerify,
  }
}
