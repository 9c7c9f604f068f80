import type { ErrorCode } from './errors.js'

/** What a native error means: our code, whether the same call may succeed later, and what to do about it. */
export interface ErrorMeaning {
  readonly code: ErrorCode
  /** Left out: as the code says by itself. */
  readonly retryable?: boolean
  readonly advice?: string
}

const UNAVAILABLE: ErrorMeaning = { code: 'UNAVAILABLE' }

/** By Node.js's error codes. */
const SYSTEM_ERRORS: Readonly<Record<string, ErrorMeaning>> = {
  ECONNREFUSED: UNAVAILABLE,
  ECONNRESET: UNAVAILABLE,
  ECONNABORTED: UNAVAILABLE,
  EPIPE: UNAVAILABLE,
  ETIMEDOUT: UNAVAILABLE,
  EHOSTUNREACH: UNAVAILABLE,
  ENETUNREACH: UNAVAILABLE,
  ENETDOWN: UNAVAILABLE,
  ENOTFOUND: { code: 'UNAVAILABLE', advice: "the host's name can't be resolved" },
  EAI_AGAIN: { code: 'UNAVAILABLE', advice: "the host's name can't be resolved now" },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    code: 'INVALID_ARGUMENT',
    advice: 'the port speaks no TLS: use the URL without TLS, or the TLS port',
  },
  EMFILE: { code: 'RESOURCE_EXHAUSTED', advice: 'this process may open no more files and sockets: raise ulimit -n' },
  ENFILE: { code: 'RESOURCE_EXHAUSTED', advice: 'this machine may open no more files and sockets' },
  ENOBUFS: { code: 'RESOURCE_EXHAUSTED', advice: 'the system has no memory left for sockets' },
  ENOMEM: { code: 'RESOURCE_EXHAUSTED', advice: 'the system has no memory left' },
  EADDRNOTAVAIL: { code: 'RESOURCE_EXHAUSTED', advice: 'this machine has no free local port or no such address' },
  EPROTO: { code: 'UNAVAILABLE', advice: 'the TLS handshake failed' },
}

const NOT_TRUSTED: ErrorMeaning = {
  code: 'UNAUTHENTICATED',
  retryable: false,
  advice: "the broker's certificate isn't trusted: check tlsCaFile and tlsServerName",
}

const NOT_CERTIFIED: ErrorMeaning = {
  code: 'UNAUTHENTICATED',
  retryable: false,
  advice:
    'the other side refused the TLS handshake because of the client certificate, which is missing or not trusted there: set tlsCertFile and tlsKeyFile',
}

/** Alerts (RFC 8446, section 6.2) by which servers refuse clients. Names differ between versions of OpenSSL. */
const CLIENT_CERTIFICATE =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)$/

const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|CERT_.*|ERR_TLS_CERT_.*|HOSTNAME_MISMATCH)$/

/** What a `code` of Node.js's sockets, name lookup or TLS means to a client of a broker; `undefined` for any other code. */
export function systemErrorMeaning(code: string): ErrorMeaning | undefined {
  if (CERTIFICATE.test(code)) return NOT_TRUSTED
  if (CLIENT_CERTIFICATE.test(code)) return NOT_CERTIFIED
  return Object.hasOwn(SYSTEM_ERRORS, code) ? SYSTEM_ERRORS[code] : undefined
}

/** RESOURCE_EXHAUSTED where a file wasn't read because nothing more can be opened: what it holds is not at fault. */
export function exhaustion(cause: unknown): 'RESOURCE_EXHAUSTED' | undefined {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return systemErrorMeaning(code)?.code === 'RESOURCE_EXHAUSTED' ? 'RESOURCE_EXHAUSTED' : undefined
}
