import { type Secret, StreamError } from '@streamswitch/core/driver'
import { ListenToken, shownDigest, type TokenVerdict } from './listen-token.js'

/** A token that clients may show, and whose it is. */
export interface NamedSecret {
  readonly name: string
  readonly secret: Secret
}

/** What the server makes of a request's token. */
export type TokenJudgement =
  /** The name of the token that was shown. */
  { readonly name: string } | Exclude<TokenVerdict, 'accepted'>

interface NamedToken {
  readonly name: string
  readonly token: ListenToken
}

/** The tokens of a server. Each is read again separately, see {@link ListenToken}; a client shows one of them. */
export class ListenTokens {
  readonly #tokens: readonly NamedToken[]

  private constructor(tokens: readonly NamedToken[]) {
    this.#tokens = tokens
  }

  /**
   * Reads the tokens. Rejects with UNAUTHENTICATED where one can't be read or is empty, with INVALID_ARGUMENT where two names have the same one:
   * nobody could tell whose it is.
   *
   * @param report - called once whenever a token can't be read any more
   */
  static async read(secrets: readonly NamedSecret[], report: (error: StreamError) => void): Promise<ListenTokens> {
    const tokens = await Promise.all(
      secrets.map(async ({ name, secret }) => ({ name, token: await ListenToken.read(secret, report) })),
    )
    for (const [index, { name, token }] of tokens.entries()) {
      const same = tokens.slice(0, index).find((other) => other.name !== name && other.token.isSameAs(token))
      if (same !== undefined) throw sameTokens(same.name, name)
    }
    return new ListenTokens(tokens)
  }

  /** Judges the value of an Authorization header. Takes the same time whichever token is shown, and for one that begins like it. */
  judge(header: string | undefined): TokenJudgement | Promise<TokenJudgement> {
    const shown = shownDigest(header)
    const judgement = judgementOf(this.#tokens.map(({ name, token }) => ({ name, verdict: token.compare(shown) })))
    if (typeof judgement === 'object' || shown === undefined) return judgement
    return this.#tokens.some(({ token }) => token.isDynamic) ? this.#reread(shown) : judgement
  }

  /** Whether others are these tokens: the same names in the same order, with the same source or text. */
  async equal(others: readonly NamedSecret[]): Promise<boolean> {
    if (others.length !== this.#tokens.length) return false
    for (const [index, { name, token }] of this.#tokens.entries()) {
      const other = others[index] as NamedSecret
      if (other.name !== name || !(await token.equals(other.secret))) return false
    }
    return true
  }

  async #reread(shown: Buffer): Promise<TokenJudgement> {
    return judgementOf(
      await Promise.all(
        this.#tokens.map(async ({ name, token }) => ({ name, verdict: await token.compareReread(shown) })),
      ),
    )
  }
}

/** One that can't be read may be the one that was shown. */
function judgementOf(verdicts: readonly { readonly name: string; readonly verdict: TokenVerdict }[]): TokenJudgement {
  const accepted = verdicts.find(({ verdict }) => verdict === 'accepted')
  if (accepted !== undefined) return { name: accepted.name }
  return verdicts.some(({ verdict }) => verdict === 'unreadable') ? 'unreadable' : 'refused'
}

function sameTokens(one: string, other: string): StreamError {
  return new StreamError(`listenTokens: '${one}' and '${other}' have the same token: use different ones`, {
    code: 'INVALID_ARGUMENT',
    transport: 'http',
    operation: 'listen',
  })
}
