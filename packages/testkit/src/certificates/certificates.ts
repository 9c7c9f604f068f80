import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runProgram } from '../brokers/process.js'

/** Files (PEM) for a broker with TLS and for its clients, in a temporary folder. */
export interface Certificates {
  /** The authority that signed the broker's certificate. */
  readonly caFile: string
  /** An authority that signed nothing here. */
  readonly strangerCaFile: string
  /** The broker's certificate, for 127.0.0.1 and localhost. */
  readonly certFile: string
  /** The private key of `certFile`, PKCS #8 without a password. */
  readonly keyFile: string
  /** `keyFile` and `certFile` in one, as Kafka's key stores of type PEM want it. */
  readonly keyStoreFile: string
  /** Removes the folder. */
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const DAYS = ['-days', '2']
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/**
 * Makes two authorities and a broker's certificate, valid for two days. Rejects with NOT_FOUND when openssl is missing.
 */
export async function makeCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'streamswitch-certificates-'))
  const file = (name: string): string => join(folder, name)
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    await makeAuthority(file('ca'), 'test authority')
    await makeAuthority(file('stranger'), 'another authority')
    await makeServerCertificate(file('server'), file('ca'))
    const parts = await Promise.all([readFile(file('server.key'), 'utf8'), readFile(file('server.crt'), 'utf8')])
    await writeFile(file('server.pem'), parts.join(''))
  } catch (error) {
    await remove()
    throw error
  }
  return {
    caFile: file('ca.crt'),
    strangerCaFile: file('stranger.crt'),
    certFile: file('server.crt'),
    keyFile: file('server.key'),
    keyStoreFile: file('server.pem'),
    remove,
    [Symbol.asyncDispose]: remove,
  }
}

async function openssl(...args: string[]): Promise<void> {
  await runProgram('openssl', args, 'Install it with: apt-get install openssl', { timeoutMs: 30_000 })
}

async function makeAuthority(path: string, name: string): Promise<void> {
  const output = ['-keyout', `${path}.key`, '-out', `${path}.crt`]
  await openssl('req', '-x509', ...NEW_KEY, ...DAYS, '-subj', `/CN=${name}`, ...output)
}

async function makeServerCertificate(path: string, authority: string): Promise<void> {
  const names = ['-subj', '/CN=broker', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  await openssl('req', ...NEW_KEY, ...names, '-keyout', `${path}.key`, '-out', `${path}.csr`)
  const signer = ['-CA', `${authority}.crt`, '-CAkey', `${authority}.key`, '-CAcreateserial']
  const output = ['-copy_extensions', 'copy', ...DAYS, '-out', `${path}.crt`]
  await openssl('x509', '-req', '-in', `${path}.csr`, ...signer, ...output)
}
