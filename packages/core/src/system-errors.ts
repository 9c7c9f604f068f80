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
  EPROTO: { code: 'UNAVAILABLE', advice: 'the TLS handshake failed' },
}

const NOT_TRUSTED: ErrorMeaning = {
  code: 'UNAUTHENTICATED',
  retryable: false,
  advice: "the broker's certificate isn't trusted: check tlsCaFile and tlsServerName",
}

const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|CERT_.*|ERR_TLS_CERT_.*|HOSTNAME_MISMATCH)$/

/** What a `code` of Node.js's sockets, name lookup or TLS means to a client of a broker; `undefined` for any other code. */
export function systemErrorMeaning(code: string): ErrorMeaning | undefined {
  if (CERTIFICATE.test(code)) return NOT_TRUSTED
  return Object.hasOwn(SYSTEM_ERRORS, code) ? SYSTEM_ERRORS[code] : undefined
}
