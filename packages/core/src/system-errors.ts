import type { ErrorCode } from './errors.js'

/** Meaning of a native error: our code, whether the same call may succeed later, and what to do about it. */
export interface ErrorMeaning {
  readonly code: ErrorCode
  /** Default: by code. */
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
  ENOTFOUND: { code: 'UNAVAILABLE', advice: "the host name can't be resolved" },
  EAI_AGAIN: { code: 'UNAVAILABLE', advice: "the host name can't be resolved at the moment" },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    code: 'INVALID_ARGUMENT',
    advice: "the port doesn't use TLS: use the URL without TLS, or the TLS port",
  },
  EMFILE: {
    code: 'RESOURCE_EXHAUSTED',
    advice: 'the process has reached its limit of open files and sockets: raise ulimit -n',
  },
  ENFILE: { code: 'RESOURCE_EXHAUSTED', advice: 'the machine has reached its limit of open files and sockets' },
  ENOBUFS: { code: 'RESOURCE_EXHAUSTED', advice: 'the system is out of memory for sockets' },
  ENOMEM: { code: 'RESOURCE_EXHAUSTED', advice: 'the system is out of memory' },
  EADDRNOTAVAIL: {
    code: 'RESOURCE_EXHAUSTED',
    advice: "the machine has no free local port, or the address doesn't exist",
  },
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
    'the server refused the TLS handshake because the client certificate is missing or not trusted: set tlsCertFile and tlsKeyFile',
}

/** Alerts (RFC 8446, section 6.2) by which servers refuse clients. Names differ between versions of OpenSSL. */
const CLIENT_CERTIFICATE =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)$/

const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|CERT_.*|ERR_TLS_CERT_.*|HOSTNAME_MISMATCH)$/

/**
 * Returns what a `code` of Node.js's sockets, name lookup or TLS means to a client of a broker; `undefined` for any
 * other code.
 */
export function systemErrorMeaning(code: string): ErrorMeaning | undefined {
  if (CERTIFICATE.test(code)) return NOT_TRUSTED
  if (CLIENT_CERTIFICATE.test(code)) return NOT_CERTIFIED
  return Object.hasOwn(SYSTEM_ERRORS, code) ? SYSTEM_ERRORS[code] : undefined
}

/**
 * Returns RESOURCE_EXHAUSTED when a file wasn't read because no more files can be opened: its contents are not at
 * fault.
 */
export function exhaustion(cause: unknown): 'RESOURCE_EXHAUSTED' | undefined {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return systemErrorMeaning(code)?.code === 'RESOURCE_EXHAUSTED' ? 'RESOURCE_EXHAUSTED' : undefined
}
