import { createHash, timingSafeEqual } from 'node:crypto'
import { atMost, readSecret, type Secret, StreamError } from '@streamswitch/core/driver'

/** How long a token that is a file or a function is used before it is read again, in milliseconds. */
const REREAD_MS = 5_000
/** Shortest time between two reads, in milliseconds: clients with a wrong token can't cause more. */
const MIN_REREAD_MS = 1_000
/** Maximum wait for one read, in milliseconds. */
const READ_TIMEOUT_MS = 5_000
/** How long the last good token is accepted while no new one can be read, in milliseconds. */
export const TOKEN_GRACE_MS = 5 * 60_000

/** What the server makes of the token that a client shows. `unreadable`: there is none to compare it with. */
export type TokenVerdict = 'accepted' | 'refused' | 'unreadable'

/**
 * The token that clients must show. One that is a file or a function is read again while requests come in: when it was read more than 5
 * seconds ago, or when a client shows another one, at most once a second. While it can't be read, or is empty, the last good one is
 * accepted for {@link TOKEN_GRACE_MS}, then none.
 */
export class ListenToken {
  readonly #secret: Secret
  readonly #report: (error: StreamError) => void
  #digest: Buffer
  /** When a read began last, and when one succeeded last, by `performance.now()`. */
  #readAt = performance.now()
  #goodAt = performance.now()
  #reading: Promise<void> | undefined
  #failing = false

  private constructor(secret: Secret, token: string, report: (error: StreamError) => void) {
    this.#secret = secret
    this.#digest = digest(token)
    this.#report = report
  }

  /**
   * Reads the token. Rejects with UNAUTHENTICATED where it can't be read or is empty.
   *
   * @param report - told once whenever the token can't be read any more
   */
  static async read(secret: Secret, report: (error: StreamError) => void): Promise<ListenToken> {
    return new ListenToken(secret, await readListenToken(secret), report)
  }

  /** Judges the value of an Authorization header: at once, or when the token was read again. */
  judge(header: string | undefined): TokenVerdict | Promise<TokenVerdict> {
    const shown = shownDigest(header)
    const verdict = this.compare(shown)
    // Without a token there is nothing that a newer one could change.
    if (verdict === 'accepted' || !this.isDynamic || shown === undefined) return verdict
    return this.compareReread(shown)
  }

  /** It is a file or a function, and may be another one by now. */
  get isDynamic(): boolean {
    return typeof this.#secret !== 'string'
  }

  /** Compares what was shown with the token as it was read last; one that was read long ago is read again meanwhile. In constant time. */
  compare(shown: Buffer | undefined): TokenVerdict {
    if (this.isDynamic && performance.now() - this.#readAt >= REREAD_MS) this.#read()
    return this.#compare(shown)
  }

  /** Compares what was shown with the token as it is now, or was a second ago. */
  async compareReread(shown: Buffer): Promise<TokenVerdict> {
    if (this.isDynamic) await this.#readSoon()
    return this.#compare(shown)
  }

  /** Whether another token is the same text at present. */
  isSameAs(other: ListenToken): boolean {
    return timingSafeEqual(this.#digest, other.#digest)
  }

  /** Whether a secret is this token: the same source, or another with the same text. Rejects as {@link ListenToken.read} does. */
  async equals(secret: Secret): Promise<boolean> {
    if (secret === this.#secret || (fileOf(secret) !== undefined && fileOf(secret) === fileOf(this.#secret)))
      return true
    return (await this.judge(`Bearer ${await readListenToken(secret)}`)) === 'accepted'
  }

  #compare(shown: Buffer | undefined): TokenVerdict {
    if (this.#failing && performance.now() - this.#goodAt >= TOKEN_GRACE_MS) return 'unreadable'
    return shown !== undefined && timingSafeEqual(shown, this.#digest) ? 'accepted' : 'refused'
  }

  /** Resolves after a read that began after this call, or at most {@link MIN_REREAD_MS} before it and is the last one. */
  async #readSoon(): Promise<void> {
    if (this.#reading === undefined) {
      const wait = this.#readAt + MIN_REREAD_MS - performance.now()
      this.#reading = (wait > 0 ? delay(wait) : Promise.resolve()).then(() => this.#load())
    }
    await this.#reading
  }

  #read(): void {
    this.#reading ??= this.#load()
  }

  async #load(): Promise<void> {
    this.#readAt = performance.now()
    let failure: StreamError | undefined
    const reading = readListenToken(this.#secret).then(
      (token) => {
        this.#digest = digest(token)
        this.#goodAt = performance.now()
        return true
      },
      (error: StreamError) => {
        failure = error
        return true
      },
    )
    const isOver = await atMost(reading, READ_TIMEOUT_MS)
    this.#reading = undefined
    if (isOver === undefined) failure = unreadable(`it took longer than ${READ_TIMEOUT_MS} ms`)
    if (failure !== undefined && !this.#failing)
      this.#report(
        unreadable(`${failure.message}; the last good one is accepted for ${TOKEN_GRACE_MS / 60_000} minutes`, failure),
      )
    this.#failing = failure !== undefined
  }
}

async function readListenToken(secret: Secret): Promise<string> {
  return (await readSecret(secret, 'http', 'listenToken')) as string
}

function fileOf(secret: Secret): string | undefined {
  return typeof secret === 'object' ? secret.file : undefined
}

/**
 * Returns the digest of the token in an Authorization header; `undefined` when there is none, which has at least one
 * character.
 */
export function shownDigest(header: string | undefined): Buffer | undefined {
  const shown = header === undefined ? undefined : /^bearer +(\S.*)$/i.exec(header)?.[1]
  return shown === undefined ? undefined : digest(shown)
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}

function unreadable(reason: string, cause?: unknown): StreamError {
  return new StreamError(`the listen token can't be read: ${reason}`, {
    code: 'UNAUTHENTICATED',
    transport: 'http',
    operation: 'listen',
    cause,
  })
}
