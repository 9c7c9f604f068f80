import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Who sends a request, as far as it was proved. Without a token and certificate nothing was: anybody who can connect. */
export interface HttpPrincipal {
  /** Name of the token that was shown: its name in `listenTokens`; `default` for `listenToken`. */
  readonly token: string | undefined
  /** The client certificate, where the server asks for them (`listenTlsCaFile`). */
  readonly certificate: HttpCertificate | undefined
}

/** A client certificate, issued by one of the authorities in `listenTlsCaFile`. */
export interface HttpCertificate {
  /** Distinguished name, its parts in the certificate's order and escaped as RFC 4514 says: `C=DE, O=Acme, CN=billing`. */
  readonly subject: string
  /** `DNS:billing.internal, URI:spiffe://…`, as Node.js writes it. */
  readonly subjectAltName: string | undefined
  /** SHA-256 of the certificate: `AB:CD:…`. */
  readonly fingerprint256: string
}

/** Those who have proved nothing. */
export const ANYBODY: HttpPrincipal = Object.freeze({ token: undefined, certificate: undefined })

/** Maximum length of an identity that is used unchanged, in characters. */
const MAX_IDENTITY = 128

const certificates = new WeakMap<Socket, HttpCertificate>()

/**
 * The certificate of a known authority that a client has shown. Both are asked, whether the connection is authorized and whether there is one:
 * `authorized` alone is true for some that showed none.
 */
export function certificateOf(socket: Socket): HttpCertificate | undefined {
  const known = certificates.get(socket)
  if (known !== undefined) return known
  const found = socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined
  if (found === undefined) return undefined
  const certificate = Object.freeze({
    // Control characters, commas and so on within a value are escaped in it: a line is one part.
    subject: found.subject.split('\n').join(', '),
    subjectAltName: found.subjectAltName,
    fingerprint256: found.fingerprint256,
  })
  // A connection keeps the certificate that it began with.
  certificates.set(socket, certificate)
  return certificate
}

/** Whether anything was proved. */
export function isAuthenticated({ token, certificate }: HttpPrincipal): boolean {
  return token !== undefined || certificate !== undefined
}

/** Tells principals apart; the same for all who have proved nothing. */
export function identityOfPrincipal({ token, certificate }: HttpPrincipal): string {
  if (token === undefined && certificate === undefined) return ''
  const text = JSON.stringify([token, certificate?.subject])
  // It is remembered with ids, and a subject may have any length.
  return text.length <= MAX_IDENTITY ? text : createHash('sha256').update(text).digest('hex')
}
